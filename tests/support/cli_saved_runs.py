"""Saved runs and scripts of events for the tests of the command line: no model is run."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from project import ROOT
from report_builders import make_facts, random_positions, stored_facts

from qfid_tui.process import scorer_process
from scorer.report.formats.markdown import to_markdown
from scorer.report.from_run import finished_report
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.comparability import run_conditions
from scorer.runs.grid import CellKey
from scorer.runs.listing import Run, new_run
from scorer.spec.events import (
    ChunkScored,
    Event,
    Failed,
    Finished,
    Hello,
    Loading,
    Planned,
    Progress,
)
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings
from scorer.stats.depth import depth_edges

FAKE = Path(__file__).with_name("scripted_scorer.py")
CHUNKS = 4
SCALES = {"8": 0.0005, "4": 0.3}
"""KL of the made-up settings: 8 is good, 4 is bad."""

_DRIVER = (
    "import sys\n"
    "from qfid_tui.process import scorer_process\n"
    "from qfid_tui.cli import main\n"
    "scorer_process.COMMAND = (sys.executable, {fake!r}, {script!r})\n"
    "sys.exit(main())\n"
)


def save_run(
    settings: str = "8,4",
    *,
    chunks: int | dict[str, int] | None = None,
    planned: int = CHUNKS,
    finished: bool = True,
    identity: dict[str, Any] | None = None,
    job: dict[str, Any] | None = None,
) -> Run:
    """A run as the scorer saves it, ``chunks`` of its chunks scored, or so many of a setting."""
    facts = make_facts(settings, n_chunks=planned)
    chunks = planned if chunks is None else chunks
    parsed = parse_settings(settings)
    values: dict[str, Any] = {"model": "demo", "chunk_length": 16, "max_chunks": planned}
    made = Job(settings=parsed, **{**values, **(job or {})})
    names = list(map(str, parsed))
    counts = chunks if isinstance(chunks, dict) else dict.fromkeys(names, chunks)
    run = new_run(made, stored_facts(dataclasses.replace(facts, job=made), identity))
    with run.open_writer() as writer:
        for name in names:
            for chunk in range(counts[name]):
                positions = random_positions(
                    chunks=[chunk], scale=SCALES[name], seed=chunk, flip_rate=0.0
                )
                writer.append(CellKey(name, chunk), positions, ChunkFacts(seconds=0.5))
        if finished:
            report = finished_report(run)
            run.save_report(
                report.to_json(), to_markdown(report), complete=set(counts.values()) == {planned}
            )
    return run


def opening(run: Run | None = None) -> list[Event]:
    """What a scorer says before its first chunk."""
    events: list[Event] = [
        Hello("cpu", "Test CPU", 16 << 30, 8 << 30, "MKL", {"qfid": "0.1.0"}),
        Loading("tokenizing", "builtin"),
        Loading("model", "demo"),
    ]
    if run is not None:
        names = [str(setting) for setting in run.job.settings]
        events.append(
            Planned(
                run=run.id,
                run_path=str(run.path),
                model="demo",
                settings=names,
                chunks=list(range(CHUNKS)),
                done=dict.fromkeys(names, 0),
                positions_per_chunk=dict.fromkeys(names, 15),
                kv_bytes_per_token=dict.fromkeys(names, 100.0),
                kv_bytes_per_token_16bit=200.0,
                batch=1,
                arithmetic="cpu, float32, BLAS: MKL",
                conditions=dict(run_conditions(run.facts)),
            )
        )
    return events


def chunk_events(run: Run, chunks: int = CHUNKS) -> list[Event]:
    """Progress and results of the first ``chunks`` chunks."""
    names = [str(setting) for setting in run.job.settings]
    total = len(names) + 1
    events: list[Event] = []
    for chunk in range(chunks):
        events.append(Progress(chunk, "", 1, total))
        for i, name in enumerate(names):
            events.append(Progress(chunk, name, i + 2, total))
            events.append(chunk_scored(name, chunk, SCALES[name]))
    return events


def chunk_scored(setting: str, chunk: int, kl: float, positions: int = 15) -> ChunkScored:
    """A chunk whose drift grows with the position."""
    spans = list(pairwise(depth_edges(positions)))
    depth = [(b - a) * kl * (0.5 + (a + b) / (2 * positions)) for a, b in spans]
    return ChunkScored(
        setting,
        chunk,
        positions,
        kl,
        2 * kl,
        2 * kl,
        0,
        2.0 * positions,
        2.03 * positions,
        0.25,
        depth,
        kl_squares=1.5 * positions * kl * kl,
    )


def report_of(run: Run, **changes: Any) -> dict[str, Any]:
    """The run's report after the trip through JSON that it makes on the wire."""
    report: dict[str, Any] = json.loads(json.dumps({**finished_report(run).to_json(), **changes}))
    return report


def recording(run: Run, chunks: int = CHUNKS) -> list[Event]:
    """A whole run as the scorer tells it."""
    complete = chunks == CHUNKS
    return [*opening(run), *chunk_events(run, chunks), Finished(report_of(run), complete)]


def failing(run: Run | None, message: str, code: int, error: str = "QfidError") -> list[Event]:
    """A run that ends without a report."""
    saved = None if run is None else run.id
    return [*opening(run), Failed(error, message, "do something", code, run=saved)]


def script(path: Path, *parts: Event | str | list[Event]) -> Path:
    """Write a script for :mod:`fake_scorer`; strings are its own words or garbage."""
    lines: list[str] = []
    for part in parts:
        for item in part if isinstance(part, list) else [part]:
            lines.append(item if isinstance(item, str) else item.to_line().rstrip("\n"))
    path.write_bytes(("\n".join(lines) + "\n").encode())
    return path


def play(monkeypatch: Any, path: Path) -> None:
    """Let the command line of this process start the fake child."""
    monkeypatch.setattr(scorer_process, "COMMAND", (sys.executable, str(FAKE), str(path)))


def request_of(path: Path) -> dict[str, Any]:
    """What the fake child was asked."""
    found: dict[str, Any] = json.loads(path.with_suffix(".request").read_text())
    return found


@contextmanager
def started(path: Path, *words: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The command line as a process of its own that starts the fake child; killed at the end."""
    driver = _DRIVER.format(fake=str(FAKE), script=str(path))
    process = subprocess.Popen(
        [sys.executable, "-c", driver, *words],
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "text": True,
            "env": {**os.environ, "PYTHONPATH": str(ROOT)},
            **options,
        },
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Standard error up to and with the first line that holds ``words``."""
    assert process.stderr is not None
    read = ""
    for line in process.stderr:
        read += line
        if words in line:
            return read
    raise AssertionError(f"{words!r} was never said:\n{read}")


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that nobody has waited for counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        return False
    return state in "ZX"
