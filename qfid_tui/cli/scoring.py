"""One run driven to its report: the child's events shown, signals passed on, the end explained."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

from qfid_tui.cli import diagnostics
from qfid_tui.cli.progress_display import ProgressLines, progress_display
from qfid_tui.process.scorer_process import ScorerProcess, ending
from scorer.common.errors import WillNotFit
from scorer.common.out_of_memory import says_out_of_memory
from scorer.spec.events import Event, Failed, Finished

if TYPE_CHECKING:
    from qfid_tui.cli.report_formats import Delivery
    from scorer.spec.job import Job

INTERRUPTED = 130


def score(
    job: Job, delivery: Delivery, *, run: str | None = None, accept_changes: bool = False
) -> int:
    """Score a job in a child process and deliver its report.

    Args:
        job: What to score.
        delivery: Where the report goes.
        run: Id of a saved run to continue.
        accept_changes: Continue it although model, text or arithmetic have changed.

    Returns:
        Exit code of the command.

    Raises:
        QfidError: The child cannot be started, or the report not be delivered.
    """
    request: dict[str, Any] = job.to_json()
    if run is not None:
        request |= {"run": run, "accept_changes": accept_changes}
    display = progress_display()
    last: Event | None = None
    with ScorerProcess(request) as process:
        with _signals_passed_on(process, display):
            for event in process.events():
                display.add(event)
                last = event
            display.clear()
        code = process.close()
    run_id = run if display.run.planned is None else display.run.planned.run
    if isinstance(last, Finished):
        return _finished(last, display, delivery)
    if isinstance(last, Failed):
        return _failed(last, last.run or run_id)
    if process.killed or code == INTERRUPTED:
        diagnostics.say("stopped at once" if run_id else "stopped before anything was scored")
        _tell_resume(run_id)
        return INTERRUPTED
    return _died(process, code, run_id)


def _finished(event: Finished, display: ProgressLines, delivery: Delivery) -> int:
    planned = display.run.planned
    run_id = "" if planned is None else planned.run
    from scorer.report.tree import Report

    report = Report.from_json(event.report)
    delivery.deliver(report, run_id)
    if not event.complete:
        scored = len(report.run.chunks)
        diagnostics.say(
            f"interrupted: this report is about {scored} of {display.run.chunks} chunks"
        )
        _tell_resume(run_id)
        return INTERRUPTED
    below = delivery.exit_code(report)
    if any(row.failure is not None for row in report.settings):
        return 1
    return below


def _failed(event: Failed, run_id: str | None) -> int:
    diagnostics.say_with_hint("error", event.message, event.hint)
    # What the user has to change first cannot be resumed.
    if event.exit_code != 2:
        _tell_resume(run_id)
    return event.exit_code


def _died(process: ScorerProcess, code: int, run_id: str | None) -> int:
    said = f"; its last words: {process.log[-1]}" if process.log else ""
    hint = "`qfid doctor` looks at this machine; nothing was saved"
    if run_id is not None:
        hint = f"what was scored is saved: `qfid resume {run_id}` goes on"
    ran_out = any(map(says_out_of_memory, process.log))
    if ran_out or -code in (signal.SIGKILL, signal.SIGSEGV):
        # Metal aborts a process that asks for too much, Linux kills one that leaves it too little,
        # and MLX on the CPU writes to memory it was not given.
        hint += "; if memory ran out, --batch 1 or shorter chunks take less"
    diagnostics.say_with_hint("error", f"the scorer {ending(code)} without a report{said}", hint)
    return WillNotFit.exit_code if ran_out else 1


def _tell_resume(run_id: str | None) -> None:
    if run_id is not None:
        diagnostics.say(f"`qfid resume {run_id}` scores the rest")


@contextmanager
def _signals_passed_on(process: ScorerProcess, display: ProgressLines) -> Iterator[None]:
    """While the child works: Ctrl-C once stops it in order, twice at once; an end takes it along.

    A signal that this process was told to ignore (``nohup``, a job in the background) stays so.
    """
    interrupts = 0

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        nonlocal interrupts
        interrupts += 1
        if interrupts == 1:
            text = "stopping after this step, then reporting; Ctrl-C again stops at once"
            diagnostics.write_from_handler(display.interjection(text))
            process.interrupt()
        else:
            process.kill()

    def on_end(number: int, frame: FrameType | None) -> None:
        process.kill()
        text = f"ended by {signal.Signals(number).name}"
        if display.run.planned is not None:
            text += f"; `qfid resume {display.run.planned.run}` scores the rest"
        diagnostics.write_from_handler(display.interjection(text))
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def on_stop(number: int, frame: FrameType | None) -> None:
        # The child is in a group of its own, which Ctrl-Z does not reach.
        process.pause()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        signal.signal(number, on_stop)
        process.proceed()

    before = {}
    for number, handler in (
        (signal.SIGINT, on_interrupt),
        (signal.SIGTERM, on_end),
        (signal.SIGHUP, on_end),
        (signal.SIGTSTP, on_stop),
    ):
        if signal.getsignal(number) not in (signal.SIG_IGN, None):
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)
