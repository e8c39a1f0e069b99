"""The reports of many saved runs, and why some have none. Pure standard library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from scorer.common.errors import QfidError
from scorer.report.saved_report import saved_report
from scorer.report.tree import Report
from scorer.runs.run import Run
from scorer.runs.run_info import RunInfo


@dataclass(frozen=True, slots=True)
class ReportedRun:
    """A saved run with its report.

    Attributes:
        info: Its line in the list of runs.
        report: Its report; None where there is none.
        reason: Why there is none, on one line; else "".
    """

    info: RunInfo
    report: Report | None
    reason: str = ""


def reported_runs(runs: Iterable[RunInfo]) -> Iterator[ReportedRun]:
    """Read the report of each run, or make it of the positions where the stored one says less.

    Args:
        runs: The runs; none of them is left out.
    """
    for info in runs:
        if info.state == "broken":
            yield ReportedRun(info, None, info.reason)
            continue
        try:
            yield ReportedRun(info, saved_report(Run(info.path)))
        except QfidError as error:
            yield ReportedRun(info, None, error.message)
        except OSError as error:
            yield ReportedRun(info, None, f"cannot be read: {error.strerror}")
