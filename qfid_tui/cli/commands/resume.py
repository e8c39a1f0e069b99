"""``qfid resume [RUN]``: score the missing chunks of a saved run and print its report."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING, Any

from qfid_tui.cli.report_formats import Delivery, add_report_options

if TYPE_CHECKING:
    from scorer.runs.run import Run
    from scorer.spec.job import Job


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "resume",
        description="Score the missing chunks of a saved run, then print its report.",
    )
    parser.add_argument(
        "run",
        metavar="RUN",
        nargs="?",
        help="id of the run or its beginning (default: the newest unfinished one)",
    )
    parser.add_argument(
        "--accept-changes",
        action="store_true",
        help="continue although model, text or arithmetic have changed since",
    )
    parser.add_argument(
        "--allow-custom-code",
        action="store_true",
        help="allow the model's own Python files to run, as they are now; no run remembers that",
    )
    parser.add_argument("--force", action="store_true", help="score even if memory seems too small")
    parser.add_argument(
        "--pull", action="store_true", help="download the model if it is not cached, without asking"
    )
    add_report_options(parser)


def run(args: argparse.Namespace) -> int:
    """Score what is missing, print, and return the exit code.

    Raises:
        QfidError: There is no such run, or it cannot be continued.
    """
    from qfid_tui.cli.diagnostics import say
    from qfid_tui.cli.scoring import score
    from qfid_tui.state.saved_report import saved_report
    from scorer.runs.run_lock import RunLock

    found = _chosen_run(args.run)
    delivery = Delivery(args)
    delivery.check_settings([setting.key for setting in found.job.settings])
    # Report another process that writes to the run before the model is loaded.
    with RunLock(found.path):
        pass
    # A setting that failed is tried again.
    if found.finished and not found.failures() and found.whole:
        say(f"run `{found.id}` is complete: nothing is left to score")
        report = saved_report(found)
        delivery.deliver(report, found.id)
        return delivery.exit_code(report)
    found.check_appendable()
    settings = ", ".join(setting.key for setting in found.job.settings)
    say(f"resuming run `{found.id}`: {found.job.model}, settings {settings}")
    job = _same_revision(found, args)
    if args.force:
        job = dataclasses.replace(job, force=True)
    return score(
        job,
        delivery,
        run=found.id,
        accept_changes=args.accept_changes,
        allow_custom_code=args.allow_custom_code,
    )


def _chosen_run(text: str | None) -> Run:
    from scorer.common.errors import InputError
    from scorer.runs.listing import find_run, newest_unfinished

    if text is not None:
        return find_run(text)
    newest = newest_unfinished()
    if newest is None:
        raise InputError("no run is unfinished", "`qfid runs` lists them all")
    return newest


def _same_revision(run: Run, args: argparse.Namespace) -> Job:
    """Return the run's job, with the commit that it started with if the cache has a newer one."""
    from qfid_tui.cli.cached_model import ensure_model
    from scorer.common.errors import ModelNotCached
    from scorer.models.resolve import resolve_model

    job = run.job
    recorded = str(run.readable_facts.identity.get("model revision", "none"))
    revision = job.revision
    if recorded != "none" and not args.accept_changes:
        try:
            info = resolve_model(job.model, revision, allow_custom_code=True)
            moved = info.revision not in (None, recorded)
        except ModelNotCached:
            moved = True
        if moved:
            revision = recorded
    ensure_model(job.model, revision, allow_custom_code=args.allow_custom_code, pull=args.pull)
    return dataclasses.replace(job, revision=revision)
