"""Who may import what, asked of fresh interpreters and of the sources themselves."""

from __future__ import annotations

import ast
import json
import os
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
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


LIGHT = (
    "scorer",
    "scorer.spec.job",
    "scorer.spec.events",
    "scorer.common.errors",
    "scorer.models.resolve",
    "scorer.models.relatives",
    "scorer.models.predicted_precision",
    "scorer.runs.listing",
    "scorer.child.process",
    "scorer.api",
    "scorer.api_texts",
    "scorer.api_weights",
    "scorer.score",
    "scorer.report.commands",
    "scorer.report.setting_report",
    "scorer.report.formats.markdown",
)


def test_light_modules_import_nothing_heavy() -> None:
    """One after the other: the first that brings something heavy is named."""
    heavy = HEAVY | {"qfid_tui", "huggingface_hub"}
    found = imported_by(
        f"for module in {LIGHT}:\n"
        "    __import__(module)\n"
        f"    heavy = {heavy} & set(sys.modules)\n"
        "    assert not heavy, f'{module} imports {heavy}'"
    )
    assert "scorer" in found and not found & heavy


def test_the_packages_names_are_lazy_and_complete() -> None:
    found = imported_by("import scorer; assert callable(scorer.measure_kv_fidelity)")
    assert not found & {"mlx", "textual"}
    code = "from scorer import *; assert measure_kv_fidelity and resume_run and read_positions"
    assert not imported_by(code) & {"mlx", "textual"}
    assert sorted(scorer.__all__) == [
        "__version__",
        "fit_memory",
        "measure_kv_fidelity",
        "measure_over_texts",
        "measure_tasks",
        "measure_weight_fidelity",
        "read_positions",
        "resume_run",
    ]
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


def test_the_rooms_import_only_the_rooms_below_them() -> None:
    """The contracts in ``pyproject.toml``: layers, no cycles, no MLX in the app."""
    done = subprocess.run(
        [sys.executable, "-c", "from importlinter.cli import lint_imports; exit(lint_imports())"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout


def imported_by_name(path: Path) -> set[str]:
    """What a file imports by a name in a string, which the contracts do not see.

    Parts of the name that are computed stand as ``{}``.
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
        elif isinstance(node, ast.Call) and node.args and _imports_by_name(node):
            found.add(_text(node.args[0]))
    return found


def _imports_by_name(node: ast.Call) -> bool:
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    return name in ("import_module", "__import__")


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    return "{}"


BY_NAME = {
    # The one exception: the command line opens the app without importing Textual before.
    "qfid_tui/cli/command_line.py": {"qfid_tui.cli.commands.{}", "qfid_tui.app.run_app"},
    # The public names of the package, imported on first use.
    "scorer/__init__.py": {"{}"},
    "scorer/lm/mlx_lm_import.py": {"mlx_lm.tokenizer_utils", "mlx_lm.utils"},
    # PyTorch alone, where a library turns out to use it.
    "scorer/lm/torch_later.py": {"{}"},
}


@pytest.mark.parametrize("package", ["scorer", "qfid_tui"])
def test_what_is_imported_by_name_is_listed(package: str) -> None:
    found = {
        str(path.relative_to(ROOT)): names
        for path in sources(package)
        if (names := imported_by_name(path))
    }
    assert found == {path: names for path, names in BY_NAME.items() if path.startswith(package)}


def modules_of(package: str) -> list[str]:
    """Every module of a package that only defines something when it is imported."""
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sources(package)
        if path.name != "__main__.py"
    ]


def test_the_app_reaches_no_module_that_loads_mlx() -> None:
    """Every module of the app and the command line is imported, and MLX is not."""
    code = "import importlib\n" + "\n".join(
        f"importlib.import_module({name!r})" for name in modules_of("qfid_tui")
    )
    assert not imported_by(code) & {"mlx", "mlx_lm", "transformers"}


@pytest.mark.parametrize("package", ["scorer", "qfid_tui", "tests"])
def test_no_file_is_longer_than_400_lines(package: str) -> None:
    long = {p.name: n for p in sources(package) if (n := len(p.read_text().splitlines())) > 400}
    assert long == {}
