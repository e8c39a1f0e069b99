"""Measurements in a pseudo terminal: first paint, and use of a core."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from qfid_tui.tools.bench import made_up_run
from qfid_tui.tools.pseudo_terminal import TerminalProcess

_DEADLINE = 60.0
_EMPTY = """
from textual.app import App
from textual.widgets import Static

class Empty(App):
    def compose(self):
        yield Static("painted")

Empty().run()
"""
_APP = "import sys; from qfid_tui.cli import main; sys.exit(main())"
_RUN_SECONDS = 12.0
"""Duration of the replayed run, at 20 chunks of a setting per second."""


def first_paint(folder: Path, rounds: int) -> tuple[float, float]:
    """Return seconds from the start of a process to its first text, for qfid and an empty app.

    New processes of both alternate; the shortest time of each counts. Both run from bytecode, as
    installed programs do. A checkout without write access would compile the source of the app, but
    not that of Textual, at every start.
    """
    env = {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}
    ours, empty = [], []
    for _ in range(rounds + 1):
        ours.append(_painted([sys.executable, "-P", "-c", _APP], b"qfid", env))
        empty.append(_painted([sys.executable, "-P", "-c", _EMPTY], b"painted", env))
    # The first process of each writes the bytecode.
    return min(ours[1:]), min(empty[1:])


def _painted(command: list[str], text: bytes, env: dict[str, str]) -> float:
    with TerminalProcess(command, env=env) as process:
        return process.read_until(lambda out: text in out, _DEADLINE)


def cpu_shares(folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Return the use of a core by the app: idle, during a run, and with the charts hidden.

    Returns:
        For each state, ``share`` (0 to 1) and ``paints`` per second, of the round with the least.
    """
    recording = folder / "paced.jsonl"
    chunks = round(_RUN_SECONDS * 20 / len(made_up_run.SETTINGS))
    made_up_run.record(recording, chunks, every=1 / 40, progress=True)
    found: dict[str, dict[str, float]] = {}
    for _ in range(rounds):
        for state in ("idle", "running", "hidden"):
            result = folder / "result.json"
            command = [sys.executable, "-P", "-m", "qfid_tui.tools.bench.worker", state]
            with TerminalProcess(
                [*command, str(recording), str(result), str(chunks)],
                size=(140, 45),
                env={"COLORTERM": "truecolor"},
            ) as process:
                if process.wait(_DEADLINE) != 0:
                    raise RuntimeError(process.output[-2000:].decode("utf-8", "replace"))
            one = json.loads(result.read_text())
            if state not in found or one["share"] < found[state]["share"]:
                found[state] = one
    return found
