"""``qfid resume [RUN]``: score the missing chunks of a saved run and print its report."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from qfid_tui.cli.deployment_options import add_deployment_options, deployment_of
from qfid_tui.cli.report_formats import Delivery, add_report_options


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "resume",
        description="Score the missing chunks of a saved run, then print its report. The options "
        "about where it is to run replace those that the run has.",
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
    add_deployment_options(parser)
    add_report_options(parser)


def run(args: argparse.Namespace) -> int:
    """Score what is missing, print, and return the exit code.

    Raises:
        QfidError: There is no such run, or it cannot be continued.
    """
    from qfid_tui.cli.cached_model import ensure_model
    from qfid_tui.cli.diagnostics import say
    from qfid_tui.cli.scoring import score
    from qfid_tui.state.saved_report import deployed_report, saved_report
    from scorer.runs.resuming import job_to_resume, nothing_is_left, run_to_resume

    found = run_to_resume(args.run)
    delivery = Delivery(args)
    delivery.check_settings([setting.key for setting in found.job.settings])
    deployment = deployment_of(args, found.job.deployment)
    if nothing_is_left(found):
        say(f"run `{found.id}` is complete: nothing is left to score")
        report = saved_report(found) if deployment is None else deployed_report(found, deployment)
        delivery.deliver(report, found.id, deployment)
        return delivery.exit_code(report)
    found.check_appendable()
    settings = ", ".join(setting.key for setting in found.job.settings)
    say(f"resuming run `{found.id}`: {found.job.model}, settings {settings}")
    job = job_to_resume(found, accept_changes=args.accept_changes, force=args.force)
    if deployment is not None:
        job = dataclasses.replace(job, deployment=deployment)
    ensure_model(job.model, job.revision, allow_custom_code=args.allow_custom_code, pull=args.pull)
    return score(
        job,
        delivery,
        run=found.id,
        accept_changes=args.accept_changes,
        allow_custom_code=args.allow_custom_code,
    )
