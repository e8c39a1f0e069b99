"""Who may import what, asked of fresh interpreters and of the sources themselves."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

import scorer

HEAVY = {"mlx", "mlx_lm", "numpy", "pyarrow", "textual", "transformers", "tokenizers"}

REPORT = """
import json, sys
before = set(sys.modules)
{code}
print(json.dumps(sorted({{name.split(".")[0] for name in set(sys.modules) - before}})))
"""


def imported_by(code: str) -> set[str]:
    """Top-level names that a fresh interpreter imports for a piece of code."""
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(code=code)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "module",
    [
        "scorer",
        "scorer.spec.job",
        "scorer.spec.events",
        "scorer.common.errors",
        "scorer.models.resolve",
        "scorer.runs.listing",
        "scorer.child.process",
        "scorer.api",
        "scorer.score",
        "scorer.report.commands",
        "scorer.report.setting_report",
        "scorer.report.formats.markdown",
    ],
)
def test_light_modules_import_nothing_heavy(module: str) -> None:
    found = imported_by(f"import {module}")
    assert "scorer" in found and not found & (HEAVY | {"qfid_tui", "huggingface_hub"})


def test_the_packages_names_are_lazy_and_complete() -> None:
    found = imported_by("import scorer; assert callable(scorer.measure_kv_fidelity)")
    assert not found & {"mlx", "textual"}
    code = "from scorer import *; assert measure_kv_fidelity and __version__"
    assert not imported_by(code) & {"mlx", "textual"}
    assert sorted(scorer.__all__) == ["__version__", "measure_kv_fidelity"]
    with pytest.raises(AttributeError, match="'scorer' has no attribute 'nothing'"):
        _ = scorer.nothing


def test_listing_models_and_runs_imports_neither_mlx_nor_numpy() -> None:
    code = (
        "from scorer.models.listing import list_models; list_models()\n"
        "from scorer.models.resolve import resolve_model; resolve_model('demo')\n"
        "from scorer.runs.listing import list_runs; list_runs()"
    )
    assert not imported_by(code) & (HEAVY - {"tokenizers"} | {"huggingface_hub"})


def test_a_saved_run_is_reported_without_mlx() -> None:
    code = (
        "import scorer.report.from_run, scorer.report.build\n"
        "import scorer.report.formats.csv_export, scorer.report.formats.markdown"
    )
    assert not imported_by(code) & {"mlx", "mlx_lm", "textual", "transformers"}


@pytest.mark.parametrize("option", ["--help", "--version", "kv --help"])
def test_help_imports_neither_the_app_nor_the_engine(option: str) -> None:
    code = (
        "import contextlib, io\n"
        "from qfid_tui.cli import main\n"
        "with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):\n"
        f"    main({option.split()!r})\n"
        "assert 'qfid' in out.getvalue()"
    )
    found = imported_by(code)
    assert "qfid_tui" in found and not found & (HEAVY | {"huggingface_hub"})


def test_scoring_on_the_command_line_keeps_mlx_in_the_child() -> None:
    code = (
        "import contextlib, io\n"
        "from qfid_tui.cli import main\n"
        "with contextlib.redirect_stderr(io.StringIO()) as said:\n"
        "    assert main(['kv', 'nobody/nothing']) == 2\n"
        "assert 'nobody/nothing' in said.getvalue()"
    )
    assert not imported_by(code) & {"mlx", "mlx_lm", "textual"}


def sources(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found
    return found


def imports(path: Path) -> set[str]:
    """Top-level names that a file imports anywhere, inside functions and for types included."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.add((node.module or "").split(".")[0])
        elif isinstance(node, ast.Call) and _imports_by_name(node):
            found |= {
                argument.value.split(".")[0]
                for argument in node.args
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str)
            }
    return found


def _imports_by_name(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("import_module", "__import__")


@pytest.mark.parametrize("path", sources("scorer"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_engine_knows_no_terminal(path: Path) -> None:
    assert not imports(path) & {"qfid_tui", "textual", "rich", "curses"}


@pytest.mark.parametrize("path", sources("qfid_tui"), ids=lambda path: str(path.relative_to(ROOT)))
def test_the_app_never_imports_mlx(path: Path) -> None:
    assert not imports(path) & {"mlx", "mlx_lm", "transformers"}


@pytest.mark.parametrize("package", ["scorer", "qfid_tui"])
def test_no_file_is_longer_than_400_lines(package: str) -> None:
    long = {p.name: n for p in sources(package) if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}
