"""``qfid report RUN``: print the report of a saved run again."""

from __future__ import annotations

import argparse
from typing import Any

from qfid_tui.cli.deployment_options import add_deployment_options, deployment_of
from qfid_tui.cli.report_formats import Delivery, add_report_options


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "report",
        description="Print the report of a saved run, also of an unfinished one. With --memory, "
        "--context and the like it says what to run there: nothing is scored again.",
        epilog="exit codes: 0 report, 1 internal error, 2 wrong input, 4 --fail-under not met, "
        "5 --confident: not settled",
    )
    parser.add_argument(
        "run", metavar="RUN", nargs="?", help="id of the run or its beginning (default: the newest)"
    )
    parser.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON Schema of --format json, and no report",
    )
    add_deployment_options(parser)
    add_report_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the report and return the exit code.

    Raises:
        QfidError: There is no such run, nothing is scored yet, or the report cannot be written.
    """
    if args.schema:
        return _print_schema(args)
    from qfid_tui.cli.diagnostics import say
    from scorer.report.saved_report import deployed_report, saved_report
    from scorer.runs.listing import find_run, newest_run

    found = newest_run() if args.run is None else find_run(args.run)
    delivery = Delivery(args)
    if args.run is None:
        say(f"the newest run: `{found.id}`")
    deployment = deployment_of(args, found.job.deployment)
    report = saved_report(found) if deployment is None else deployed_report(found, deployment)
    delivery.check_settings([row.setting for row in report.settings])
    delivery.deliver(report, found.id, deployment)
    if not found.finished:
        say(f"run `{found.id}` is unfinished: `qfid resume {found.id}` scores the rest")
    return delivery.exit_code(report, found)


def _print_schema(args: argparse.Namespace) -> int:
    from qfid_tui.cli.output import ReportFile, print_text
    from scorer.common.errors import InputError
    from scorer.report.schema import schema_text

    if args.run is not None:
        raise InputError(
            "--schema is the same for every run", "`qfid report --schema` prints it, without RUN"
        )
    if args.output in (None, "-"):
        print_text([schema_text()], "schema")
    else:
        ReportFile(args.output).write([schema_text()])
    return 0
