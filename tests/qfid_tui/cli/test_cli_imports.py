"""What the command line pulls in, in a fresh interpreter each."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from cli_saved_runs import save_run
from project import ROOT

import scorer
from qfid_tui.cli.command_line import COMMANDS

HEAVY = {"mlx", "mlx_lm", "numpy", "pyarrow", "textual", "transformers", "huggingface_hub"}

_PROBE = """
import io, json, sys
before = set(sys.modules)
from qfid_tui.cli import main
out, sys.stdout = sys.stdout, io.TextIOWrapper(io.BytesIO(), "utf-8")
try:
    code = main({words!r})
except SystemExit as end:
    code = end.code
sys.stdout.flush()
said = sys.stdout.buffer.getvalue().decode()
print(json.dumps([code, said, sorted(set(sys.modules) - before)]), file=out)
"""


def imported(*words: str) -> tuple[int, str, set[str]]:
    """Exit code, standard output and imported modules of a command."""
    found = subprocess.run(
        [sys.executable, "-c", _PROBE.format(words=list(words))],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    code, said, modules = json.loads(found.stdout)
    return code, said, set(modules)


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


def test_help_lists_all_commands_and_imports_next_to_nothing() -> None:
    code, said, modules = imported("--help")
    assert code == 0
    for name, what in COMMANDS.items():
        assert f"  {name} " in said and what in said
    assert not packages(modules) & (HEAVY | {"dataclasses", "inspect", "subprocess", "asyncio"})
    ours = {name for name in modules if name.startswith(("scorer", "qfid_tui"))}
    assert ours <= {
        "scorer",
        "scorer._version",
        "scorer.common",
        "scorer.common.errors",
        "scorer.common.inert_text",
        "qfid_tui",
        "qfid_tui.cli",
        "qfid_tui.cli.command_line",
        "qfid_tui.cli.diagnostics",
        "qfid_tui.cli.job_options",
        "qfid_tui.cli.parser",
        "qfid_tui.cli.rank_options",
    }


def test_the_version_is_that_of_the_package() -> None:
    code, said, modules = imported("--version")
    assert (code, said) == (0, f"qfid {scorer.__version__}\n")
    assert not packages(modules) & HEAVY


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_the_help_of_a_command_imports_no_other_command(command: str) -> None:
    code, _, modules = imported(command, "--help")
    assert code == 0
    assert not packages(modules) & HEAVY
    commands = {name for name in modules if name.startswith("qfid_tui.cli.commands.")}
    assert commands == {f"qfid_tui.cli.commands.{command}"}


def test_listing_runs_and_printing_a_stored_report_need_neither_mlx_nor_numpy() -> None:
    run = save_run()
    for words in (["runs"], ["report", run.id]):
        code, said, modules = imported(*words)
        assert code == 0 and said
        assert not packages(modules) & HEAVY, words


def test_checking_that_a_run_is_whole_needs_no_mlx() -> None:
    code, said, modules = imported("resume", save_run().id)
    assert code == 0 and said
    assert not packages(modules) & {"mlx", "mlx_lm", "textual", "transformers", "huggingface_hub"}


def test_no_report_needs_mlx_textual_or_a_tokenizer() -> None:
    run = save_run(chunks=2, finished=False)
    for format in ("md", "json", "csv", "positions"):
        code, said, modules = imported("report", run.id, "--format", format)
        assert code == 0 and said
        foreign = {"mlx", "mlx_lm", "textual", "transformers", "tokenizers", "jinja2"}
        assert not packages(modules) & foreign


def test_no_module_of_the_command_line_imports_mlx() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "qfid_tui").rglob("*.py"))
    ]
    code = f"import importlib, sys\nfor n in {names!r}: importlib.import_module(n)\n"
    code += "print([m for m in ('mlx', 'mlx_lm') if m in sys.modules])"
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert found.stdout == "[]\n"
