"""A run's whole life with a fault at each of its system calls, and what is left of it afterwards.

``python storage_fault_driver.py FOLDER kill|full STEP``: the life is lived once undisturbed, then
once per fault: ``kill`` ends the process by SIGKILL inside or before a call, ``full`` lets a
write fail once so many bytes are stored. After each the run is found again, completed and
reported. Prints one JSON object. No model is run and MLX is not imported: forking is safe.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from report_builders import make_facts, random_positions, stored_facts

from scorer.common.errors import QfidError
from scorer.common.folders import runs_folder
from scorer.report.formats.markdown import to_markdown
from scorer.report.from_run import finished_report
from scorer.runs import positions_file as arrow_stream
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.facts import StoredFacts
from scorer.runs.grid import CellKey
from scorer.runs.listing import Run, list_runs, new_run
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

CHUNKS = 2
SCALES = {"8": 0.0005, "6": 0.004, "4": 0.3}
FIRST, LATER = "8,4", "8,4,6"
SHARES = (0.0, 0.5, 1.0)
# Of these the process dies before the call; dying behind it is dying before the next one.
CALLS = ("open", "close", "fsync", "fdatasync", "ftruncate", "replace", "rename", "mkdir")


def job_and_facts(settings: str) -> tuple[Job, StoredFacts]:
    job = Job("demo", parse_settings(settings), chunk_length=16, max_chunks=CHUNKS)
    return job, stored_facts(dataclasses.replace(make_facts(settings, n_chunks=CHUNKS), job=job))


def append(run: Run, writer: Any, tell: Callable[[str], None]) -> None:
    """Score what is missing, telling each batch once it is stored."""
    for chunk in range(CHUNKS):
        for setting in map(str, run.job.settings):
            positions = random_positions(chunks=[chunk], scale=SCALES[setting], seed=chunk)
            if writer.append(CellKey(setting, chunk), positions, ChunkFacts(seconds=0.5)):
                tell(f"{setting} {chunk}\n")


def complete(run: Run, tell: Callable[[str], None]) -> None:
    """What a resumed run does: add the last setting, score, report."""
    with run.open_writer() as writer:
        for name in run.failures():
            run.clear_failed(name)
        run.grow(*job_and_facts(LATER))
        append(run, writer, tell)
        report = finished_report(run)
        run.save_report(report.to_json(), to_markdown(report))


def live(tell: Callable[[str], None]) -> None:
    """A run from its first file to its last: stopped once, grown once, a setting failed once."""
    run = new_run(*job_and_facts(FIRST))
    with run.open_writer() as writer:
        append(run, writer, tell)
        run.mark_failed("4", "SettingFailed", "NaN in chunk 1")
        report = finished_report(run)
        run.save_report(report.to_json(), to_markdown(report), complete=False)
    complete(run, tell)


def silent(line: str) -> None:
    """Tell nobody."""


@contextmanager
def counted(fault: Callable[[int, str, Any], None]) -> Iterator[list[int]]:
    """Call ``fault`` with the number, name and bytes of every system call, before it is made."""
    made = [0]
    real = {name: getattr(os, name) for name in (*CALLS, "write") if hasattr(os, name)}
    sync = arrow_stream._sync

    def wrapped(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def first_the_fault(*args: Any, **more: Any) -> Any:
            made[0] += 1
            fault(made[0], name, args)
            return call(*args, **more)

        return first_the_fault

    try:
        for name, call in real.items():
            setattr(os, name, wrapped(name, call))
        arrow_stream._sync = wrapped("fdatasync", sync)
        yield made
    finally:
        for name, call in real.items():
            setattr(os, name, call)
        arrow_stream._sync = sync


REAL_WRITE = os.write


def killed_at(call: int, share: float, told: Path) -> None:
    """In a process of its own: die at the ``call``-th system call, a write stored in part."""

    def die(number: int, name: str, args: Any) -> None:
        if number == call:
            if name == "write":
                REAL_WRITE(args[0], bytes(args[1])[: int(share * len(args[1]))])
            os.kill(os.getpid(), signal.SIGKILL)

    descriptor = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with counted(die):
        live(lambda line: REAL_WRITE(descriptor, line.encode()) and None)


def survey() -> tuple[list[str], int, dict[str, Any]]:
    """The system calls of an undisturbed life, the bytes it writes, and its report."""
    names: list[str] = []
    written = 0

    def note(number: int, name: str, args: Any) -> None:
        nonlocal written
        names.append(name)
        written += len(args[1]) if name == "write" else 0

    with counted(note):
        live(silent)
    (info,) = list_runs()
    return names, written, Run(info.path).report() or {}


def afterwards(told: set[str]) -> tuple[str, dict[str, Any]]:
    """What the fault cost ("" for nothing), and the report of the run that went on."""
    infos = list_runs()
    if any(info.state in ("broken", "running") for info in infos) or len(infos) > 1:
        return f"the list shows {[(info.state, info.reason) for info in infos]}", {}
    if not infos and told:
        return "the run is gone", {}
    run = Run(infos[0].path) if infos else new_run(*job_and_facts(FIRST))
    kept = {f"{setting} {chunk}" for setting, chunks in run.scored().items() for chunk in chunks}
    complete(run, silent)
    again = Run(run.path)
    if not again.finished or not again.whole:
        return "the run does not get finished", {}
    debris = [path.name for path in run.path.iterdir() if path.name.startswith(".")]
    cost = f"lost {sorted(told - kept)}" if told - kept else f"left {debris}" if debris else ""
    return cost, again.report() or {}


def kills(folder: Path, names: list[str], step: int) -> Iterator[tuple[str, set[str]]]:
    places = [
        (number, share)
        for number, name in enumerate(names, 1)
        for share in (SHARES if name == "write" else (0.0,))
    ]
    for number, share in places[::step]:
        shutil.rmtree(runs_folder(), ignore_errors=True)
        told = folder / "told"
        told.unlink(missing_ok=True)
        child = os.fork()
        if child == 0:
            killed_at(number, share, told)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, (number, names[number - 1])
        batches = set(told.read_text().splitlines()) if told.exists() else set()
        yield f"{names[number - 1]} {number}, {share:g} of its bytes", batches


def full_disks(total: int, step: int) -> Iterator[tuple[str, set[str]]]:
    for budget in range(0, total, step):
        shutil.rmtree(runs_folder(), ignore_errors=True)
        left = budget
        told: set[str] = set()

        def fill(number: int, name: str, args: Any) -> None:
            nonlocal left
            if name == "write":
                size = len(args[1])
                if size > left:  # as the kernel: what fits is stored
                    REAL_WRITE(args[0], bytes(args[1])[:left])
                    left = 0
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                left -= size

        try:
            with counted(fill):
                live(lambda line: told.add(line.strip()))  # noqa: B023
        except QfidError as error:
            assert error.exit_code == 1 and "no space left" in str(error), error
            assert "\n" not in error.message
        yield f"full after {budget} bytes", told


def main(folder: Path, what: str, step: int) -> None:
    os.environ["QFID_DATA_DIR"] = str(folder / "data")
    # Made here, so that every life makes the same system calls.
    (folder / "data").mkdir()
    names, written, whole = survey()
    lost: list[str] = []
    count = 0
    faults = kills(folder, names, step) if what == "kill" else full_disks(written, step)
    for where, told in faults:
        count += 1
        cost, report = afterwards(told)
        if cost or report != whole:
            lost.append(f"{where}: {cost or 'the report is another one'}")
    print(json.dumps({"calls": len(names), "bytes": written, "faults": count, "lost": lost}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
