"""Scores one model on several texts and lengths in turn, each a run of its own, and joins them.

What can be checked is checked before anything is scored. What cannot be scored costs the others
nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import json
import subprocess
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfid_tui.cli import diagnostics
from qfid_tui.cli.rank_options import ranks_of
from qfid_tui.cli.scoring import INTERRUPTED
from scorer.common.errors import InputError, QfidError
from scorer.report.joined import NotScored
from scorer.report.joining import joined
from scorer.report.standings import NamedReport
from scorer.spec.corpora import hub_text
from scorer.spec.job import STANDARD_INPUT, CorpusSpec, Job

if TYPE_CHECKING:
    from qfid_tui.cli.report_formats import Delivery
    from qfid_tui.state.texts import TextAtLength
    from scorer.models.info import ModelInfo
    from scorer.report.tree import Report

MakeJob = Callable[["TextAtLength"], Job]
_WORST_FIRST = (INTERRUPTED, 1, 2, 3, 4, 5)


def worst_code(codes: Collection[int]) -> int:
    """The exit code of a command, from those of its parts: what is beyond a bound before open."""
    return next((code for code in _WORST_FIRST if code in codes), max(codes, default=0))


class _Collected:
    """Takes the reports of the runs instead of printing them."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self.reports: list[NamedReport] = []
        self.failure: tuple[str, str, int] | None = None

    def deliver(self, report: Report, run_id: str) -> None:
        """Keep a report."""
        self.reports.append(NamedReport(run_id, report))
        diagnostics.say(f"scored: run {run_id}")

    def fail(self, message: str, hint: str, exit_code: int) -> None:
        """Keep an error."""
        self.failure = message, hint, exit_code

    def exit_code(self, report: Report) -> int:
        """Judge a report as one that is printed."""
        return self._delivery.exit_code(report)


def score_several(
    wanted: Sequence[TextAtLength],
    make_job: MakeJob,
    delivery: Delivery,
    args: argparse.Namespace,
) -> int:
    """Score several texts and lengths, and deliver the joined report.

    Args:
        wanted: The texts and lengths, in the order of the report.
        make_job: Makes the job of one of them.
        delivery: Where the report goes.
        args: The options about the model, and those of :mod:`qfid_tui.cli.rank_options`.

    Returns:
        Exit code: that of the worst run. 0 only where all have a report.

    Raises:
        QfidError: The model is not there, or the report cannot be delivered.
    """
    from qfid_tui.cli.cached_model import ensure_models

    info: ModelInfo | None = None
    not_scored: list[NotScored] = []
    jobs: list[Job] = []
    for text, length in wanted:
        try:
            jobs.append(make_job((text, length)))
        except InputError as error:
            _leave_out(not_scored, text, length, error)
    if jobs:
        delivery.check_settings([setting.key for setting in jobs[0].settings])
        info = ensure_models(jobs[0], allow_custom_code=args.allow_custom_code, pull=args.pull)
    collected = _Collected(delivery)
    with _standard_input(jobs) as text_file:
        jobs = _checked(_fetched(jobs, not_scored), not_scored, args, text_file)
        codes = [each.exit_code for each in not_scored]
        # What has ended is measured again only where all of it has, as one text would be.
        lacks = info is not None and not all(_is_saved(job, args, info) for job in jobs)
        for number, job in enumerate(jobs, 1):
            about = f"{_named(job)}, chunks of {job.chunk_length} tokens"
            diagnostics.say(f"run {number} of {len(jobs)}: {about}")
            collected.failure = None
            code = _score(job, collected, args, text_file, takes_finished=lacks)
            codes.append(code)
            if collected.failure is not None:
                message, hint, failed = collected.failure
                not_scored.append(
                    NotScored(
                        text=_named(job),
                        chunk_length=job.chunk_length,
                        message=message,
                        hint=hint,
                        exit_code=failed,
                    )
                )
            if code == INTERRUPTED:
                not_scored += map(_not_begun, jobs[number:])
                break
    if collected.reports:
        delivery.deliver_joined(joined(collected.reports, not_scored))
    return worst_code(codes)


def print_dry_runs(
    wanted: Sequence[TextAtLength], make_job: MakeJob, args: argparse.Namespace
) -> int:
    """Print what each text at each length would take.

    Args:
        wanted: The texts and lengths.
        make_job: Makes the job of each.
        args: The options.

    Returns:
        Exit code: that of the worst of them; 3 where one does not fit in memory. What cannot be
        scored is said, and costs the others nothing.

    Raises:
        QfidError: The model is not there.
    """
    from qfid_tui.cli.dry_run import print_dry_run
    from qfid_tui.cli.output import print_text
    from qfid_tui.state.text_names import text_name
    from scorer.models.resolve import resolve_model

    codes: list[int] = []
    not_scored: list[NotScored] = []
    for text, length in wanted:
        print_text([f"{text_name(text)}, chunks of {length} tokens\n"])
        try:
            job = make_job((text, length))
        except InputError as error:
            _leave_out(not_scored, text, length, error)
            continue
        resolve_model(job.model, job.revision, allow_custom_code=True)
        try:
            codes.append(print_dry_run(job, args))
        except QfidError as error:
            _leave_out(not_scored, text, length, error)
    return worst_code([*codes, *(each.exit_code for each in not_scored)])


def _is_saved(job: Job, args: argparse.Namespace, info: ModelInfo) -> bool:
    """Whether a saved run has ended with just what a job asks for."""
    from qfid_tui.cli.added_chunks import has_just_these, same_job
    from qfid_tui.cli.cached_model import absolute_model

    job = dataclasses.replace(job, model=absolute_model(job.model, info.path))
    found = same_job(job, args, info)
    return found is not None and has_just_these(found)


def _score(
    job: Job,
    collected: _Collected,
    args: argparse.Namespace,
    path: Path | None,
    *,
    takes_finished: bool,
) -> int:
    """Score one job; an error that ends it before its run is said and costs the others nothing."""
    from qfid_tui.cli.scoring import score_new

    try:
        return score_new(job, collected, args, text_file=path, takes_finished=takes_finished)
    except QfidError as error:
        diagnostics.say_with_hint("error", error.message, error.hint)
        collected.fail(error.message, error.hint, error.exit_code)
        return error.exit_code


def _not_begun(job: Job) -> NotScored:
    """What is said of a text after an interrupted one."""
    diagnostics.say(f"not begun: {_named(job)}, chunks of {job.chunk_length} tokens")
    return NotScored(
        text=_named(job),
        chunk_length=job.chunk_length,
        message="it was not begun, because the command was interrupted",
        exit_code=INTERRUPTED,
    )


def _named(job: Job) -> str:
    from qfid_tui.state.text_names import text_name

    return text_name(job.corpus.source)


def _leave_out(found: list[NotScored], text: str, length: int, error: QfidError) -> None:
    """Note, and say, that a text is not scored at a length; of a text the same is said once."""
    known = (text, error.message)
    if known not in ((each.text, each.message) for each in found):
        diagnostics.say_with_hint("error", f"not scored: `{text}`: {error.message}", error.hint)
    found.append(NotScored.of(text, length, error))


@contextlib.contextmanager
def _standard_input(jobs: Sequence[Job]) -> Iterator[Path | None]:
    """The file with the text from standard input, where a job takes it."""
    from qfid_tui.cli.standard_input import text_from_standard_input

    if not any(job.corpus.source == STANDARD_INPUT for job in jobs):
        yield None
        return
    with text_from_standard_input() as path:
        yield path


def _fetched(jobs: Sequence[Job], not_scored: list[NotScored]) -> list[Job]:
    """The jobs with data sets of the Hub downloaded and pinned."""
    from qfid_tui.cli.download import download_split

    pinned: dict[str, str | QfidError] = {}
    found: list[Job] = []
    for job in jobs:
        source = job.corpus.source
        try:
            on_hub = hub_text(source)
            if on_hub is not None and source not in pinned:
                pinned[source] = download_split(on_hub).text.source
        except QfidError as error:
            pinned[source] = error
        known = pinned.get(source, source)
        if isinstance(known, QfidError):
            _leave_out(not_scored, source, job.chunk_length, known)
        else:
            found.append(dataclasses.replace(job, corpus=CorpusSpec(known)))
    return found


def _checked(
    jobs: Sequence[Job],
    not_scored: list[NotScored],
    args: argparse.Namespace,
    text_file: Path | None,
) -> list[Job]:
    """The jobs whose texts can be read and are long enough, found out in a child process."""
    if not jobs:
        return []
    from scorer.common.python_command import python_command

    diagnostics.say("checking the texts")
    request: dict[str, Any] = {
        "jobs": [job.to_json() for job in jobs],
        "allow_custom_code": args.allow_custom_code,
        "text_file": None if text_file is None else str(text_file),
        # Ranks share memory, or hold parts of the model: such a run says itself what fits.
        "memory": ranks_of(args) is None,
    }
    done = subprocess.run(
        [*python_command("scorer"), "--texts"],
        input=json.dumps(request) + "\n",
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        texts: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])["texts"]
    except (ValueError, IndexError, KeyError):
        # Each run says itself what is wrong.
        return list(jobs)
    found = []
    for job, answer in zip(jobs, texts, strict=True):
        if "corpus" in answer:
            found.append(dataclasses.replace(job, corpus=CorpusSpec(answer["corpus"])))
            continue
        error = QfidError(str(answer["message"]), str(answer["hint"]))
        error.exit_code = int(answer["exit_code"])
        _leave_out(not_scored, _named(job), job.chunk_length, error)
    return found
