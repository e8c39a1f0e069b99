"""Reports from files: what ``report.json`` and ``--format json`` hold. Pure standard library."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from scorer.common.errors import InputError, QfidError
from scorer.common.json_reader import decoded_object
from scorer.report.row_keys import with_row_keys
from scorer.report.rules import by_present_rules
from scorer.report.standings import NamedReport
from scorer.report.tree import Report
from scorer.runs.comparability import run_conditions
from scorer.runs.run import Run
from scorer.spec.settings.registry import parse_setting

REPORT = "report.json"


def report_paths(places: Sequence[Path]) -> Iterator[Path]:
    """The files of reports: each place itself, or every ``report.json`` in a folder.

    Raises:
        InputError: There is no such file or folder.
    """
    for place in places:
        try:
            if place.is_dir():
                yield from sorted(place.rglob(REPORT))
            elif place.is_file():
                yield place
            else:
                raise InputError(f"there is no file or folder `{place}`", "name some reports")
        except (OSError, ValueError) as error:
            raise InputError(f"`{place}` cannot be read") from error


def read_report(path: Path) -> NamedReport:
    """The report in a file, called after its run: after its folder, or after itself.

    Raises:
        InputError: It cannot be read, or is no report of this form with settings in notation.
    """
    name = path.parent.name if path.name == REPORT and path.parent.name else path.stem
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise InputError("it has no report yet") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no such name"
        raise InputError(f"its report cannot be read: {reason}") from error
    report = by_present_rules(Report.from_json(decoded_object(text, "its report")))
    for row in report.settings:
        parse_setting(row.setting)
    if not report.run.conditions and path.name == REPORT:
        report = _with_those_of_the_run(report, path.parent)
    return NamedReport(name, report)


def _with_those_of_the_run(report: Report, folder: Path) -> Report:
    """A report of an earlier version with the conditions that its run has stored beside it."""
    if not (folder / "job.json").is_file():
        return report
    try:
        return with_row_keys(report, run_conditions(Run(folder).readable_facts))
    except QfidError:
        return report
