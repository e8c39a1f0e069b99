"""``qfid report RUN``: print the report of a saved run again."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qfid_tui.cli.deployment_options import add_deployment_options, deployment_of
from qfid_tui.cli.report_formats import Delivery, add_report_options

if TYPE_CHECKING:
    from scorer.report.tree import Report


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
        "runs",
        metavar="RUN",
        nargs="*",
        help="id of the run or its beginning (default: the newest); of several runs of one model "
        "on other texts or lengths, a report that joins them",
    )
    parser.add_argument(
        "--figures",
        metavar="DIR",
        help="also write the charts of the report into a folder, as SVG and PNG for papers; needs "
        "matplotlib, which the extra qfid[figures] brings",
    )
    parser.add_argument(
        "--schema",
        action="store_true",
        help="print the JSON Schema of --format json, and no report",
    )
    parser.add_argument(
        "--joined-schema",
        action="store_true",
        help="print that of the report that joins several runs",
    )
    add_deployment_options(parser)
    add_report_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print the report and return the exit code.

    Raises:
        QfidError: There is no such run, nothing is scored yet, or the report cannot be written.
    """
    if args.schema or args.joined_schema:
        return _print_schema(args)
    if len(args.runs) > 1:
        return _print_joined(args)
    from qfid_tui.cli.diagnostics import say
    from scorer.report.saved_report import deployed_report, saved_report
    from scorer.runs.listing import find_run, newest_run

    found = find_run(args.runs[0]) if args.runs else newest_run()
    delivery = Delivery(args)
    if not args.runs:
        say(f"the newest run: `{found.id}`")
    deployment = deployment_of(args, found.job.deployment)
    report = saved_report(found) if deployment is None else deployed_report(found, deployment)
    delivery.check_settings([row.setting for row in report.settings])
    if args.figures is not None:
        _write_figures(report, args.figures)
    delivery.deliver(report, found.id, deployment)
    if not found.finished:
        say(f"run `{found.id}` is unfinished: `qfid resume {found.id}` scores the rest")
    return delivery.exit_code(report, found)


def _write_figures(report: Report, folder: str) -> None:
    from qfid_tui.cli.diagnostics import say
    from scorer.common.inert_text import shown
    from scorer.report.figures import write_figures

    written = write_figures(report, Path(folder))
    say(f"{len(written)} figures written to {shown(folder)}")


def _print_joined(args: argparse.Namespace) -> int:
    """Print the report that joins several runs.

    Raises:
        QfidError: One of them cannot be read, they are not of one model, or the options are of one
            run.
    """
    from qfid_tui.cli.diagnostics import say
    from qfid_tui.cli.several import worst_code
    from scorer.common.errors import InputError
    from scorer.report.joining import joined
    from scorer.report.saved_report import saved_report
    from scorer.report.standings import NamedReport
    from scorer.runs.listing import find_run

    if deployment_of(args, None) is not None:
        raise InputError(
            "where a model is to run is asked of one run", "`qfid report RUN` with --memory"
        )
    if args.figures is not None:
        raise InputError("figures are drawn of one run", "`qfid report RUN` with --figures")
    delivery = Delivery(args, joined=True)
    found = {run.id: run for run in map(find_run, args.runs)}
    reports = [NamedReport(run.id, saved_report(run)) for run in found.values()]
    delivery.deliver_joined(joined(reports))
    codes = []
    for each in reports:
        code = delivery.exit_code(each.report, found[each.run])
        codes.append(code)
        if code:
            say(f"that is in run `{each.run}`")
    return worst_code(codes)


def _print_schema(args: argparse.Namespace) -> int:
    from qfid_tui.cli.output import ReportFile, print_text
    from scorer.common.errors import InputError
    from scorer.report.formats.joined_text import joined_schema_text
    from scorer.report.schema import schema_text

    shown = joined_schema_text() if args.joined_schema else schema_text()
    if args.runs:
        raise InputError(
            "--schema is the same for every run", "`qfid report --schema` prints it, without RUN"
        )
    if args.output in (None, "-"):
        print_text([shown], "schema")
    else:
        ReportFile(args.output).write([shown])
    return 0
