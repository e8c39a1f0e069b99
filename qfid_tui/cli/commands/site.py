"""``qfid site DIR``: one static page about many runs, ranked where that says something."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scorer.report.standings import NamedReport

PAGE = "index.html"


def add_parser(subparsers: argparse._SubParsersAction[Any]) -> None:
    """Add the command's options."""
    parser = subparsers.add_parser(
        "site",
        description="Make a static page about many runs, from their reports. Only rows whose "
        "figures depend on the same text, model, protocol, length, device and versions are ranked.",
    )
    parser.add_argument("folder", metavar="DIR", help=f"where {PAGE} is written; made if missing")
    parser.add_argument(
        "reports",
        metavar="REPORT",
        nargs="*",
        help="reports as JSON, or folders in which every report.json is taken (default: all saved "
        "runs)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the page and return 0.

    Raises:
        QfidError: There is no report, or the page cannot be written.
    """
    from qfid_tui.cli.diagnostics import say
    from qfid_tui.cli.output import ReportFile
    from scorer.common.errors import InputError
    from scorer.report.formats.site import to_site
    from scorer.report.standings import standings

    if not args.folder.strip() or "\0" in args.folder:
        raise InputError("DIR names no folder", f"name one, {PAGE} is written into it")
    reports, left_out = _read(_saved() if not args.reports else _named(args.reports))
    for name, reason in left_out:
        say(f"left out: run `{name}`: {reason}")
    if not reports:
        raise InputError("there is no report to show", "`qfid kv demo` makes one")
    file = ReportFile(str(_page(args.folder)))
    file.write([to_site(standings(reports), len(reports), left_out)])
    left = f", {len(left_out)} left out" if left_out else ""
    runs = "1 run" if len(reports) == 1 else f"{len(reports)} runs"
    say(f"page of {runs} written to {file.path}{left}")
    return 0


def _page(folder: str) -> Path:
    """The page in the folder, which is made if it is missing."""
    from scorer.common.atomic_files import storage_error
    from scorer.common.errors import InputError

    try:
        path = Path(folder).expanduser()
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(error, Path(folder)) from error
    except RuntimeError as error:
        raise InputError(f"`{folder}` names an unknown user") from error
    return path / PAGE


def _saved() -> list[tuple[str, Path | str]]:
    """Id of each saved run to its report, or to why it cannot be read."""
    from scorer.report.report_files import REPORT
    from scorer.runs.listing import list_runs

    return [
        (info.id, info.reason if info.state == "broken" else info.path / REPORT)
        for info in list_runs()
    ]


def _named(places: Iterable[str]) -> list[tuple[str, Path | str]]:
    from scorer.report.report_files import report_paths

    return [(str(path), path) for path in report_paths([Path(place) for place in places])]


def _read(
    places: Iterable[tuple[str, Path | str]],
) -> tuple[list[NamedReport], list[tuple[str, str]]]:
    """The reports that can be read, and why the others cannot."""
    from scorer.common.errors import InputError
    from scorer.report.report_files import read_report

    reports: list[NamedReport] = []
    left_out: list[tuple[str, str]] = []
    for name, place in places:
        if isinstance(place, str):
            left_out.append((name, place))
            continue
        try:
            reports.append(read_report(place))
        except InputError as error:
            left_out.append((name, error.message))
    return reports, left_out
