"""Measurements with thousands of saved runs: ``qfid runs``, and the app and its history."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from qfid_tui.tools.pseudo_terminal import TerminalProcess

_DEADLINE = 300.0
_QFID = "import sys; from qfid_tui.cli import main; sys.exit(main())"
_SCORED = ("kv", "demo", "--kv-bits", "8,4,3", "--chunk-length", "64", "--max-chunks", "2")
_SIZE = (140, 45)
# What has changed just now is read again the next time, see scorer/runs/run_index.py.
_SETTLED_SECONDS = 2.2


@dataclass(frozen=True, slots=True)
class ManyRuns:
    """Seconds with many runs and without any; the shortest of all rounds, but for ``listed_first``.

    Attributes:
        listed_none: The command ``qfid runs`` without a run.
        listed: The same with many runs.
        listed_first: The same when it has never been called.
        history: In the app, from the key that opens the history to its first rows.
        history_whole: From the key that goes to the oldest run until that is shown.
        quit_none: From the key that leaves the app to the end of its process, without a run.
        quit: The same with many runs, when all have been listed.
        quit_at_once: The same when the app has just been painted.
    """

    listed_none: float
    listed: float
    listed_first: float
    history: float
    history_whole: float
    quit_none: float
    quit: float
    quit_at_once: float


def many_runs(folder: Path, rounds: int, count: int = 5000) -> ManyRuns:
    """Save runs and measure.

    Args:
        folder: An empty folder for the runs.
        rounds: Repeats; each measures both with runs and without.
        count: Number of runs.
    """
    bytecode = {"PYTHONPYCACHEPREFIX": str(folder / "bytecode"), "PYTHONDONTWRITEBYTECODE": ""}
    none = {"QFID_DATA_DIR": str(folder / "none"), **bytecode}
    many = {"QFID_DATA_DIR": str(folder / "many"), **bytecode}
    # This writes the bytecode too.
    _seconds(_SCORED, none | {"QFID_DATA_DIR": str(folder / "one")})
    _seconds(("runs",), none)
    (scored,) = (folder / "one" / "runs").iterdir()
    ids = copy_run(scored, folder / "many" / "runs", count)
    time.sleep(_SETTLED_SECONDS)
    first = _seconds(("runs",), many)
    found: list[list[float]] = []
    for _ in range(rounds):
        found.append(
            [
                _seconds(("runs",), none),
                _seconds(("runs",), many),
                *_history(many, ids),
                _quit_at_once(none),
                _quit_at_once(many),
            ]
        )
    listed_none, listed, history, whole, left, quit_none, at_once = map(min, *found, [1e9] * 7)
    return ManyRuns(listed_none, listed, first, history, whole, quit_none, left, at_once)


def copy_run(run: Path, folder: Path, count: int) -> list[str]:
    """Save a run many times, each with an id and a date of its own.

    Args:
        run: The folder of the run.
        folder: Where to save the copies.
        count: How many.

    Returns:
        The ids, the oldest first.
    """
    job = json.loads((run / "job.json").read_bytes())
    rest = {path.name: path.read_bytes() for path in run.iterdir() if path.name != "job.json"}
    begin, ids = datetime(2026, 1, 1, tzinfo=UTC), []
    for number in range(count):
        begun = begin + timedelta(minutes=number)
        ids.append(f"{begun:%Y%m%d-%H%M%S}-demo-{number % 0x10000:04x}")
        copy = folder / ids[-1]
        copy.mkdir(parents=True)
        (copy / "job.json").write_text(json.dumps({**job, "created": begun.isoformat()}))
        for name, content in rest.items():
            (copy / name).write_bytes(content)
    return ids


def _seconds(arguments: Sequence[str], env: Mapping[str, str]) -> float:
    """Duration of a whole command.

    Raises:
        RuntimeError: It has failed.
    """
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-P", "-c", _QFID, *arguments],
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        check=False,
    )
    seconds = time.perf_counter() - start
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:].decode("utf-8", "replace"))
    return seconds


def _app(env: Mapping[str, str]) -> TerminalProcess:
    return TerminalProcess([sys.executable, "-P", "-c", _QFID, "demo"], size=_SIZE, env=env)


def _history(env: Mapping[str, str], ids: Sequence[str]) -> tuple[float, float, float]:
    """Seconds to the first rows, to the last, and to the end of the app."""
    oldest, newest = ids[0].encode(), ids[-1].encode()
    with _app(env) as app:
        app.read_until(lambda output: b"earlier" in output, _DEADLINE)
        first = _until(app, b"t", newest)
        whole = _until(app, b"\x1b[F", oldest)
        return first, whole, _end(app)


def _quit_at_once(env: Mapping[str, str]) -> float:
    with _app(env) as app:
        app.read_until(lambda output: b"qfid" in output, _DEADLINE)
        return _end(app)


def _until(app: TerminalProcess, key: bytes, shown: bytes) -> float:
    start = time.monotonic()
    app.write(key)
    return app.read_until(lambda output: shown in output, _DEADLINE) - (start - app.started)


def _end(app: TerminalProcess) -> float:
    start = time.monotonic()
    app.write(b"q")
    if app.wait(_DEADLINE):
        raise RuntimeError(app.output[-2000:].decode("utf-8", "replace"))
    return time.monotonic() - start
