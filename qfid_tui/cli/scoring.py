"""Scores a job in a child process: shows its events, forwards signals, reports its end."""

from __future__ import annotations

import dataclasses
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol

from qfid_tui.cli import diagnostics
from qfid_tui.cli.progress_display import ProgressLines, progress_display
from qfid_tui.cli.rank_options import ranks_of
from qfid_tui.process.scorer_process import ScorerProcess
from scorer.common.child_end import died
from scorer.common.errors import InputError, OtherConditions
from scorer.common.interrupts import Interrupts
from scorer.spec.events import Event, Failed, Finished

if TYPE_CHECKING:
    import argparse

    from scorer.report.tree import Report
    from scorer.runs.same_job import SameJob
    from scorer.spec.job import Job
    from scorer.spec.ranks import Ranks

INTERRUPTED = 130


class Receiver(Protocol):
    """Takes what a run ends with."""

    def deliver(self, report: Report, run_id: str) -> None:
        """Take the report of a run that has one."""

    def fail(self, message: str, hint: str, exit_code: int) -> None:
        """Take the error of a run without a report; it has been said."""

    def exit_code(self, report: Report) -> int:
        """Return the exit code of a report."""


def score_new(
    job: Job,
    delivery: Receiver,
    args: argparse.Namespace,
    *,
    text_file: Path | None = None,
    takes_finished: bool = False,
) -> int:
    """Score a job in a run of its own, or what a saved run lacks of it, and deliver its report.

    Args:
        job: What to score.
        delivery: Where the report goes.
        args: The options about the model, ``allow_custom_code`` and ``pull``, about saved runs,
            ``anew`` and ``chunks``, and those of :mod:`qfid_tui.cli.rank_options`.
        text_file: Holds the text from standard input, where that was read already.
        takes_finished: Take a run that has ended with just these chunks, under the same conditions,
            instead of measuring them again.

    Returns:
        Exit code of the command.

    Raises:
        QfidError: A model is not there, or the report cannot be delivered.
    """
    from qfid_tui.cli.added_chunks import same_job
    from qfid_tui.cli.cached_model import absolute_model, ensure_models
    from qfid_tui.cli.standard_input import text_from_standard_input
    from qfid_tui.state.running_elsewhere import running_elsewhere
    from scorer.spec.job import STANDARD_INPUT

    ranks = ranks_of(args)
    allowed = args.allow_custom_code
    info = ensure_models(job, allow_custom_code=allowed, pull=args.pull)
    # So that the run can be resumed from any folder.
    job = dataclasses.replace(job, model=absolute_model(job.model, info.path))
    if (other := running_elsewhere(job)) is not None:
        diagnostics.say(f"warning: {other.words}")
    if (found := same_job(job, args, info)) is not None:
        code = _go_on_with(
            found,
            delivery,
            allow_custom_code=allowed,
            ranks=ranks,
            takes_finished=takes_finished,
        )
        if code is not None:
            return code
    if job.corpus.source != STANDARD_INPUT:
        return score(job, delivery, allow_custom_code=allowed, ranks=ranks)
    if text_file is not None:
        return score(job, delivery, allow_custom_code=allowed, text_file=text_file, ranks=ranks)
    with text_from_standard_input() as path:
        return score(job, delivery, allow_custom_code=allowed, text_file=path, ranks=ranks)


def _go_on_with(
    found: SameJob,
    delivery: Receiver,
    *,
    allow_custom_code: bool,
    ranks: Ranks | None,
    takes_finished: bool,
) -> int | None:
    """Score what a saved run lacks of a job, and deliver the report of what is asked for.

    Returns:
        Exit code of the command; None where the job is to be scored in a run of its own.
    """
    from qfid_tui.cli import added_chunks

    run, chunks = found.run.id, found.chunks
    is_done = added_chunks.has_just_these(found)
    if is_done and not takes_finished:
        diagnostics.say(added_chunks.repeated(run, chunks, until_settled=found.job.until_settled))
        return None
    first = chunks.asked if chunks.is_smaller else None
    if is_done:
        diagnostics.say(added_chunks.taken(run, chunks))
    elif chunks.asked == chunks.planned:
        diagnostics.say(added_chunks.unfinished(run, chunks))
    else:
        say = added_chunks.more_than_asked if chunks.is_smaller else added_chunks.added
        diagnostics.say(say(run, chunks))
    try:
        return score(
            found.job,
            delivery,
            run=run,
            allow_custom_code=allow_custom_code,
            ranks=ranks,
            first=first,
            earlier=0 if chunks.is_smaller else chunks.planned,
            is_asked_for=False,
        )
    except OtherConditions as error:
        diagnostics.say(f"{error.message}: this is a run of its own")
        return None


def score(
    job: Job,
    delivery: Receiver,
    *,
    run: str | None = None,
    accept_changes: bool = False,
    allow_custom_code: bool = False,
    text_file: Path | None = None,
    ranks: Ranks | None = None,
    first: int | None = None,
    earlier: int = 0,
    is_asked_for: bool = True,
) -> int:
    """Score a job in a child process and deliver its report.

    Args:
        job: What to score.
        delivery: Where the report goes.
        run: Id of a saved run to continue.
        accept_changes: Continue it although model, text or arithmetic have changed.
        allow_custom_code: Let the model's own Python files run, as they are now.
        text_file: Holds the text that came from standard input; None where none did.
        ranks: The processes that share the run; None for one.
        first: Deliver the report of so many chunks, the first of the run; None for all.
        earlier: Chunks that the run has, where others are added to it; else 0.
        is_asked_for: The user has named the run.

    Returns:
        Exit code of the command.

    Raises:
        OtherConditions: A run that nobody named was scored under other conditions.
        QfidError: The child cannot be started, or the report cannot be delivered.
    """
    request: dict[str, Any] = job.to_json() | {"allow_custom_code": allow_custom_code}
    if run is not None:
        request |= {"run": run, "accept_changes": accept_changes}
    if text_file is not None:
        request |= {"text_file": str(text_file)}
    if ranks is not None:
        request |= {"ranks": ranks.to_json()}
    display = progress_display()
    display.run.earlier = earlier
    last: Event | None = None
    with ScorerProcess(request) as process:
        with forwarded_signals(process, display):
            for event in process.events():
                display.add(event)
                last = event
            display.clear()
        code = process.close()
    run_id = run if display.run.planned is None else display.run.planned.run
    if isinstance(last, Finished):
        return _finished(last, display, delivery, first)
    if isinstance(last, Failed):
        if not is_asked_for and last.error == OtherConditions.__name__:
            raise OtherConditions(last.message, last.hint)
        delivery.fail(last.message, last.hint, last.exit_code)
        # Once a run is planned, the last event says whether it can go on.
        return _failed(last, last.run or (run if display.run.planned is None else None))
    if process.killed or code == INTERRUPTED:
        diagnostics.say("stopped at once" if run_id else "stopped before anything was scored")
        _say_how_to_resume(run_id)
        return INTERRUPTED
    return _died(process, code, run_id, delivery)


def _finished(
    event: Finished, display: ProgressLines, delivery: Receiver, first: int | None
) -> int:
    planned = display.run.planned
    run_id = "" if planned is None else planned.run
    from scorer.report.tree import Report

    try:
        report = Report.from_json(event.report)
    except InputError as error:
        what = f"the report of the scorer cannot be read: {error.message}"
        diagnostics.say_with_hint("error", what, "")
        _say_how_to_resume(run_id or None)
        return 1
    if first is not None:
        from scorer.report.saved_report import deployed_report
        from scorer.runs.listing import find_run

        report = deployed_report(find_run(run_id), report.run.job.deployment, first)
    delivery.deliver(report, run_id)
    if not event.complete:
        diagnostics.say(f"interrupted: {_covered(report, display.run.chunks)}")
        _say_how_to_resume(run_id)
        return INTERRUPTED
    below = delivery.exit_code(report)
    # A control that failed is no row of the report.
    if display.run.failed or any(row.failure is not None for row in report.settings):
        return 1
    return below


def _covered(report: Report, planned: int) -> str:
    """How many chunks the figures of a stopped run rest on, and its frontiers."""
    counts = [row.n_chunks for row in report.settings if row.numbers is not None]
    least, most = min(counts, default=0), max(counts, default=0)
    if least == most:
        return f"this report is about {least} of {planned} chunks"
    common = ", ".join(str(frontier.n_chunks) for frontier in report.frontiers)
    return (
        f"settings are reported on {least} to {most} of {planned} chunks, "
        f"frontiers on those in common ({common})"
    )


def _failed(event: Failed, run_id: str | None) -> int:
    diagnostics.say_with_hint("error", event.message, event.hint)
    # Resuming does not help if the user has to change the input first.
    if event.exit_code != 2:
        _say_how_to_resume(run_id)
    return event.exit_code


def _died(process: ScorerProcess, code: int, run_id: str | None, delivery: Receiver) -> int:
    saved = "`qfid doctor` examines this machine; nothing was saved"
    if run_id is not None:
        saved = f"what was scored is saved: `qfid resume {run_id}` continues"
    error = died(code, process.log, saved)
    diagnostics.say_with_hint("error", error.message, error.hint)
    delivery.fail(error.message, error.hint, error.exit_code)
    return error.exit_code


def _say_how_to_resume(run_id: str | None) -> None:
    if run_id is not None:
        diagnostics.say(f"`qfid resume {run_id}` scores the rest")


@contextmanager
def forwarded_signals(
    process: ScorerProcess,
    display: ProgressLines,
    stopping: str = "stopping after this step, then reporting; Ctrl-C again stops at once",
) -> Iterator[None]:
    """Forward signals: the first Ctrl-C stops the run, a second one or SIGTERM kills the child.

    SIGINTs within 200 ms of the first count as one, see :mod:`scorer.common.interrupts`.
    A signal that this process ignores (``nohup``, a background job) stays ignored.
    """
    interrupts = Interrupts()

    def on_interrupt(number: int, frame: FrameType | None) -> None:
        request = interrupts.add()
        if request == "first":
            diagnostics.write_from_handler(display.handler_line(stopping))
            process.interrupt()
        elif request == "again":
            process.kill()

    def on_end(number: int, frame: FrameType | None) -> None:
        process.kill()
        text = f"ended by {signal.Signals(number).name}"
        if display.run.planned is not None:
            text += f"; `qfid resume {display.run.planned.run}` scores the rest"
        diagnostics.write_from_handler(display.handler_line(text))
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    def on_stop(number: int, frame: FrameType | None) -> None:
        # The child has its own process group, which Ctrl-Z does not reach.
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
