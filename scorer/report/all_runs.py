"""The reports of many saved runs, and why some have none. Pure standard library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from scorer.common.errors import QfidError
from scorer.report.runs_table import ReportedRun
from scorer.report.saved_report import saved_report
from scorer.runs.run import Run
from scorer.runs.run_info import RunInfo


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
            yield ReportedRun(info, saved_report(Run(info.path), for_figures=True))
        except QfidError as error:
            yield ReportedRun(info, None, error.message)
        except OSError as error:
            yield ReportedRun(info, None, f"cannot be read: {error.strerror}")
