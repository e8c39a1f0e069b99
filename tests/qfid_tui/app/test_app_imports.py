"""What the app's process imports, in a fresh interpreter: nothing heavy before it is needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from cli_saved_runs import recording, save_run, script
from project import ROOT, SUPPORT

HEAVY = {"mlx", "mlx_lm", "numpy", "pyarrow", "transformers", "tokenizers", "huggingface_hub"}

_FRAME = """
import asyncio, json, sys
from qfid_tui import cli
import qfid_tui.app.app
from qfid_tui.app.screens.workbench import WorkbenchScreen
found = []

class FirstFrame(WorkbenchScreen):
    async def mount_panels(self):
        found.extend(sorted(sys.modules))
        print("title" if "qfid" in self.app.export_screenshot(title="-") else "nothing")

class App(qfid_tui.app.app.QfidApp):
    def make_workbench(self):
        return FirstFrame(self)

async def main():
    app = App(probe=False, keep=False)
    async with app.run_test(size=(80, 24)) as pilot:
        while not found:
            await pilot.pause(0.01)

asyncio.run(main())
print(json.dumps(found))
"""
_RUN = """
import asyncio, json, sys
import qfid_tui.app.app
from qfid_tui.state.choices import Choices
before = set(sys.modules)

async def main():
    choices = Choices(
        # Not the conditions of a saved run, which the key would open.
        model="demo", ticked=(8, 4), chunk_length=32, max_chunks=4, corpus="wikitext2"
    )
    app = qfid_tui.app.app.QfidApp(choices, command={command!r}, probe=False, keep=False)
    async with app.run_test(size=(140, 45)) as pilot:
        while not app.workbench.is_filled or app.workbench.picker.is_reading:
            await pilot.pause(0.01)
        await pilot.press("r")
        while app.comparison.phase != "finished":
            await pilot.pause(0.01)
        await pilot.press("f", "w", "c", "o", "m", "z")
        await pilot.pause(0.3)

asyncio.run(main())
print(json.dumps(sorted(sys.modules)))
"""


def modules(code: str) -> set[str]:
    return set(json.loads(said(code)[-1]))


def said(code: str) -> list[str]:
    found = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    return found.stdout.splitlines()


def packages(found: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in found}


def test_before_the_first_frame_only_textual_s_basics_are_imported() -> None:
    lines = said(_FRAME)
    assert lines[0] == "title"
    found = set(json.loads(lines[-1]))
    assert not packages(found) & (HEAVY | {"argparse", "json.decoder"})
    ours = {name for name in found if name.startswith(("qfid_tui", "scorer"))}
    assert ours <= {
        "qfid_tui",
        "qfid_tui.app",
        "qfid_tui.app.app",
        "qfid_tui.cli",
        "qfid_tui.state",
        "qfid_tui.cli.command_line",
        "qfid_tui.app.app_keys",
        "qfid_tui.app.closed_terminal",
        "qfid_tui.cli.diagnostics",
        "qfid_tui.state.kept_choices",
        "qfid_tui.app.screens",
        "qfid_tui.app.screens.side_actions",
        "qfid_tui.app.screens.workbench",
        "qfid_tui.app.screens.workbench_keys",
        "qfid_tui.app.widgets",
        "qfid_tui.app.widgets.title_line",
        "qfid_tui.app.terminal",
        "qfid_tui.app.terminal.driver",
        "qfid_tui.app.terminal.input_bytes",
        "qfid_tui.app.terminal.key_pace",
        "qfid_tui.app.terminal.key_sequences",
        "scorer",
        "scorer._version",
        "scorer.common",
        "scorer.common.errors",
        "scorer.common.folders",
        "scorer.common.inert_text",
        "scorer.common.process_limits",
    }


def test_choosing_running_and_watching_need_nothing_heavy(tmp_path: Path) -> None:
    save_run("8")
    run = save_run("8,4", job={"chunks": "spread", "kernel": "mlx-lm"})
    file = script(tmp_path / "s", recording(run))
    command = (sys.executable, str(SUPPORT / "scripted_scorer.py"), str(file))
    found = modules(_RUN.format(command=command))
    assert not packages(found) & HEAVY
