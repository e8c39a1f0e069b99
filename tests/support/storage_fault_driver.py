"""A run's whole life with a fault at each call that changes a file, and what is left afterwards.

``python storage_fault_driver.py FOLDER ENGINE matrix KINDS SHARES STEP FIRST`` lives the life once
undisturbed, then once per fault of :func:`faulty_calls.matrix`, every STEP-th of them from FIRST.
After each the disk is well again: the run is found, completed and reported. Prints one JSON object.

Each life is that of a forked process, since this one has to stay without the threads of MLX.

``… survey`` prints the calls of an undisturbed life, as Python made them. ``… full STEP
FIRST``: a disk with so many bytes left, FIRST and by steps more.

Engines: ``fake`` saves random numbers and imports no MLX; ``demo`` scores the built-in model.
"""

from __future__ import annotations

import dataclasses
import errno
import json
import os
import pickle
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from faulty_calls import Call, Fault, counted, matrix
from report_builders import make_facts, random_positions, stored_facts
from text_here import TextHere

from scorer.common.errors import QfidError
from scorer.device.host_memory import HostMemory
from scorer.engine import text_process
from scorer.lm.mlx_lm_import import import_mlx_lm
from scorer.report.formats.markdown import to_markdown
from scorer.report.from_run import finished_report
from scorer.runs import positions_file
from scorer.runs.chunk_facts import ChunkFacts
from scorer.runs.facts import StoredFacts
from scorer.runs.grid import CellKey
from scorer.runs.listing import Run, check_place, list_runs, new_run
from scorer.runs.run_lock import RunLock
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings

CHUNKS = 2
SCALES = {"8": 0.0005, "6": 0.004, "4": 0.3}
FIRST, LATER = "8,4", "8,4,6"
OTHER = "local/other"

# Not what other programs leave free.
MEMORY = HostMemory(16 << 30, 8 << 30)

Tell = Callable[[str], None]
T = TypeVar("T")


class Fake:
    """Saves random numbers in the order of calls of the engine."""

    def job(self, settings: str, model: str = "demo") -> tuple[Job, StoredFacts]:
        job = Job(model, parse_settings(settings), chunk_length=16, max_chunks=CHUNKS)
        facts = dataclasses.replace(make_facts(settings, n_chunks=CHUNKS), job=job)
        return job, stored_facts(facts)

    def live(self, tell: Tell) -> None:
        """A run from its first file to its last: stopped once, grown once, a setting failed."""
        check_place()
        run = new_run(*self.job(FIRST))
        with run.open_writer() as writer:
            self._append(run, writer, tell)
            run.mark_failed("4", "SettingFailed", "NaN in chunk 1")
            report = finished_report(run)
            run.save_report(report.to_json(), to_markdown(report), complete=False)
        self.complete(run, tell)

    def complete(self, run: Run | None, tell: Tell) -> None:
        """What a resumed run does: add the last setting, score, report."""
        if run is None:
            run = new_run(*self.job(FIRST))
        with RunLock(run.path):
            pass
        with run.open_writer() as writer:
            run.grow(*self.job(LATER))
            for name in run.failures():
                run.clear_failed(name)
            self._append(run, writer, tell)
            report = finished_report(run)
            run.save_report(report.to_json(), to_markdown(report))

    def _append(self, run: Run, writer: Any, tell: Tell) -> None:
        for chunk in range(CHUNKS):
            for setting in map(str, run.job.settings):
                positions = random_positions(chunks=[chunk], scale=SCALES[setting], seed=chunk)
                if writer.append(CellKey(setting, chunk), positions, ChunkFacts(seconds=0.5)):
                    tell(f"{setting} {chunk}")

    def same(self, report: Any) -> Any:
        return report


class TextOnce(TextHere):
    """The text is tokenized once for all lives; a run's process of it has no file of the run."""

    tokens_of_all: Any = None

    def begin(self, *of: Any, **more: Any) -> None:
        if TextOnce.tokens_of_all is None:
            super().begin(*of, **{**more, "cache_dir": None})
            TextOnce.tokens_of_all = self._found
        self._found = TextOnce.tokens_of_all


class Demo(Fake):
    """Scores the built-in model; the run is gone on with once, with another setting."""

    def __init__(self) -> None:
        import scorer.engine.preparation  # noqa: F401 (once, not in every forked process)

        import_mlx_lm(light=True)
        text_process.TextProcess = TextOnce  # type: ignore[assignment, misc]

    def _score(self, settings: str, tell: Tell, run: str | None = None) -> str:
        from scorer.score import score
        from scorer.spec.events import ChunkScored, Failed, Planned

        corpus = CorpusSpec("builtin")
        job = Job("demo", parse_settings(settings), corpus, chunk_length=16, max_chunks=2, batch=1)
        name = ""
        for event in score(job, run=run, read_memory=lambda: MEMORY):
            if isinstance(event, Planned):
                name = event.run
            elif isinstance(event, ChunkScored):
                tell(f"{event.setting} {event.chunk}")
            elif isinstance(event, Failed):
                error = QfidError(event.message, event.hint)
                error.exit_code = event.exit_code
                raise error
        return name

    def live(self, tell: Tell) -> None:
        self._score(LATER, tell, self._score(FIRST, tell))

    def complete(self, run: Run | None, tell: Tell) -> None:
        self._score(LATER, tell, None if run is None else run.id)

    def same(self, report: Any) -> Any:
        from tiny_runs import numbers

        return numbers(report)


NEVER_MADE = "the call was never made"
_TRIES = 5


def apart(work: Callable[[], T]) -> T:
    """What a function returns in a forked process."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            with os.fdopen(writing, "wb") as pipe:
                pickle.dump(work(), pipe)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        data = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code:
        raise SystemExit(f"a forked process ended with {code}")
    found: T = pickle.loads(data)
    return found


def killed(engine: Fake, folder: Path, fault: Fault, told: Path) -> int:
    """Live in a forked process that dies at the fault; its exit code."""
    child = os.fork()
    if child == 0:
        try:
            live_and_die(engine, folder, fault, told)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def live_and_die(engine: Fake, folder: Path, fault: Fault, told: Path) -> None:
    """Live until the fault ends this process, telling into a file."""
    descriptor = os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    with counted(data_folder(folder), fault):
        engine.live(lambda line: os.write(descriptor, f"{line}\n".encode()) and None)
    os._exit(0)


def data_folder(folder: Path) -> Path:
    return folder / "data"


def silent(line: str) -> None:
    """Tell nobody."""


def fresh(folder: Path) -> dict[Path, bytes]:
    """Make the folder of data anew, with a run of another model in it; its files."""
    shutil.rmtree(data_folder(folder), ignore_errors=True)
    other = new_run(*Fake().job(FIRST, OTHER))
    with other.open_writer() as writer:
        writer.append(CellKey("8", 0), random_positions(chunks=[0]), ChunkFacts(seconds=0.5))
    return {path: path.read_bytes() for path in other.path.iterdir()}


def own_runs() -> list[Any]:
    return [info for info in list_runs() if info.model != OTHER]


def afterwards(engine: Fake, told: set[str], fault: Fault | None) -> tuple[str, Any]:
    """What the fault cost ("" for nothing), and the report of the run that went on."""
    infos = own_runs()
    if any(info.state in ("broken", "running") for info in infos) or len(infos) > 1:
        return f"the list shows {[(info.state, info.reason) for info in infos]}", {}
    is_gone = fault is not None and fault.kind == "gone"
    if not infos and told and not is_gone:
        return "the run is gone", {}
    run = Run(infos[0].path) if infos else None
    scored = run.scored() if run is not None else {}
    kept = {f"{setting} {chunk}" for setting, chunks in scored.items() for chunk in chunks}
    engine.complete(run, silent)
    (info,) = own_runs()
    again = Run(info.path)
    if not again.finished or not again.whole:
        return "the run does not get finished", {}
    debris = [path.name for path in again.path.iterdir() if path.name.startswith(".")]
    lost = set() if is_gone else told - kept
    cost = f"lost {sorted(lost)}" if lost else f"left {debris}" if debris else ""
    return cost, again.report()


def disturbed(engine: Fake, folder: Path, fault: Fault) -> tuple[set[str], str]:
    """Live with a fault: what was told, and what is wrong with how the life ended."""
    if fault.kind == "kill":
        told_file = folder / "told"
        told_file.unlink(missing_ok=True)
        code = killed(engine, folder, fault, told_file)
        lines = told_file.read_text().splitlines() if told_file.exists() else []
        if code == 0:
            return set(lines), NEVER_MADE
        return set(lines), "" if code == -signal.SIGKILL else f"it ended with {code}"
    told: set[str] = set()
    late: list[str] = []
    ended: Exception | None = None
    with counted(data_folder(folder), fault) as calls:

        def tell(line: str) -> None:
            told.add(line)
            if calls.deleted:
                late.append(line)

        try:
            engine.live(tell)
        except Exception as error:
            ended = error
    if not calls.fired:
        return told, NEVER_MADE
    if late:
        return told, f"told once the folder was gone: {late}"
    if ended is None:
        is_blind = calls.deleted and is_append(calls.made, fault.number)
        return told, "it went on to its end" if is_blind else ""
    return told, wrong_end(ended, fault, calls.made)


def is_append(made: list[Call], number: int) -> bool:
    """Whether a call stores scored positions."""
    before, call = made[number - 2], made[number - 1]
    is_stored = call.name == "write" or (call.name, before.name) == ("fdatasync", "write")
    return is_stored and call.path.endswith("positions.arrow")


def wrong_end(error: Exception, fault: Fault, made: list[Call]) -> str:
    """What is wrong with the error that a fault ended a life with, or ""."""
    if not isinstance(error, QfidError) or fault.kind == "short":
        return f"{type(error).__name__}: {error}"
    # That a folder is not there is the input's fault where a run is opened.
    codes = (1, 2) if fault.kind == "gone" and not is_append(made, fault.number) else (1,)
    is_good = error.exit_code in codes and "\n" not in error.message
    return "" if is_good else f"exit {error.exit_code}: {error}"


def survey(engine: Fake, folder: Path) -> tuple[list[Any], Any]:
    """The calls of an undisturbed life, and its report."""
    fresh(folder)
    with counted(data_folder(folder)) as calls:
        engine.live(silent)
    return calls.made, Run(own_runs()[0].path).report()


def all_faults(
    engine: Fake, folder: Path, kinds: str, shares: int, step: int, first: int
) -> dict[str, Any]:
    made, whole, TextOnce.tokens_of_all = apart(
        lambda: (*survey(engine, folder), TextOnce.tokens_of_all)
    )
    faults = matrix(made, kinds.split(","), shares)[first::step]  # type: ignore[arg-type]
    bad: list[str] = []
    for fault in faults:
        for _ in range(_TRIES):
            trouble = apart(lambda fault=fault: met(engine, folder, fault, whole))  # type: ignore[misc]
            # Under load the hashes of the model can be stored with other calls, or by fewer.
            if trouble != NEVER_MADE:
                break
        if trouble:
            call = made[fault.number - 1]
            where = f"{fault.kind} at {call.name} {fault.number} of {Path(call.path).name}"
            bad.append(f"{where}, {fault.stored} of {call.size} bytes: {trouble}")
    names = sorted({call.name for call in made})
    return {"calls": len(made), "names": names, "faults": len(faults), "bad": bad}


def met(engine: Fake, folder: Path, fault: Fault, whole: Any) -> str:
    """Live with a fault and go on: what is wrong afterwards, or ""."""
    others = fresh(folder)
    told, trouble = disturbed(engine, folder, fault)
    if trouble == NEVER_MADE:
        return NEVER_MADE
    cost, report = afterwards(engine, told, fault)
    if not (cost or engine.same(report) == engine.same(whole)):
        cost = "the report is another one"
    if any(not path.exists() or path.read_bytes() != data for path, data in others.items()):
        cost = "another run was touched"
    return f"{trouble}; {cost}" if trouble or cost else ""


def full_disks(engine: Fake, folder: Path, step: int, first: int) -> dict[str, Any]:
    """A disk with room for so many bytes, by steps; what is deleted gives no room back."""
    made, whole = survey(engine, folder)
    bad: list[str] = []
    budgets = range(first, sum(call.size for call in made), step)
    real = os.write
    for budget in budgets:
        fresh(folder)
        left = budget
        told: set[str] = set()

        def write(descriptor: int, data: Any) -> int:
            nonlocal left
            size = len(data)
            if size > left:  # as the kernel: what fits is stored
                real(descriptor, bytes(data)[:left])
                left = 0
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            left -= size
            return real(descriptor, data)

        os.write = write  # type: ignore[assignment]
        try:
            engine.live(told.add)
        except QfidError as error:
            if error.exit_code != 1 or "\n" in error.message:
                bad.append(f"full after {budget} bytes: {error}")
        finally:
            os.write = real
        cost, report = afterwards(engine, told, None)
        if cost or engine.same(report) != engine.same(whole):
            bad.append(f"full after {budget} bytes: {cost or 'the report is another one'}")
    return {"calls": len(made), "faults": len(budgets), "bad": bad}


def main(folder: Path, name: str, what: str, *words: str) -> None:
    os.environ["QFID_DATA_DIR"] = str(data_folder(folder))
    engine = {"fake": Fake, "demo": Demo}[name]()
    if what != "survey":
        # Counted all the same; no fault of these takes power away.
        os.fsync = positions_file._sync = os.fstat  # type: ignore[assignment]
    if what == "survey":
        made, _ = survey(engine, folder)
        print(json.dumps([(call.name, call.path) for call in made]))
    elif what == "full":
        print(json.dumps(full_disks(engine, folder, *map(int, words))))
    else:
        kinds, *numbers = words
        print(json.dumps(all_faults(engine, folder, kinds, *map(int, numbers))))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
