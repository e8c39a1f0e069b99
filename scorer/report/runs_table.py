"""The figures of many runs as rows: one for each run and setting. Pure standard library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from scorer.common.errors import InputError
from scorer.report.scalars import Column, Scalar, scalars
from scorer.report.tree import Report
from scorer.runs.run_info import RunInfo

OF_THE_RUN = (
    Column("run_id", "text", "Name of the run's folder."),
    Column("run_created", "text", "When the run began, ISO 8601, UTC."),
    Column("run_state", "text", "`finished`, `unfinished` or `running`."),
    Column("report_rules", "whole", "Number of the rules that the verdicts follow."),
)
"""Columns before those of :mod:`scorer.report.scalars`."""
WARNINGS = "warnings"
"""Name of the one column of lists."""
Value = Scalar | tuple[str, ...]


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


@dataclass(slots=True)
class RunsTable:
    """The rows of many runs.

    Attributes:
        rows: One for each run and setting: name of a column to its value.
        runs: How many runs have rows.
        left_out: Id of each other run, and why it has none.
    """

    rows: list[dict[str, Value]] = field(default_factory=list)
    runs: int = 0
    left_out: list[tuple[str, str]] = field(default_factory=list)


def runs_table(runs: Iterable[ReportedRun]) -> RunsTable:
    """Take the values of every setting of every run.

    Args:
        runs: The runs, each with its report or the reason why it has none.
    """
    table = RunsTable()
    for run in runs:
        reason, rows = run.reason, []
        if run.report is not None:
            try:
                rows = _rows(run.info, run.report)
            except InputError as error:
                reason = error.message
        if rows:
            table.rows += rows
            table.runs += 1
        else:
            table.left_out.append((run.info.id, reason or "its report has no setting"))
    return table


def _rows(info: RunInfo, report: Report) -> list[dict[str, Value]]:
    values: tuple[Scalar, ...] = (info.id, info.created, info.state, report.rules)
    own = {column.name: value for column, value in zip(OF_THE_RUN, values, strict=True)}
    return [{**own, **scalars(report, row), WARNINGS: row.warnings} for row in report.settings]
