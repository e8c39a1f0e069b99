"""All figures of many runs as Parquet, for data frames: a row for each run and setting."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from scorer._version import __version__
from scorer.common.errors import InputError
from scorer.common.folders import temporary_folder
from scorer.report.all_runs import ReportedRun
from scorer.report.scalars import Column, Scalar, column_of, columns, scalars
from scorer.report.tree import Report
from scorer.runs.facts import REPORT_SCHEMA
from scorer.runs.run_info import RunInfo

METADATA_KEY = "qfid"
"""Key of the metadata of the file: a JSON object with the report's ``schema``, the ``version`` of
qfid, and ``left_out``, a list of objects with the ``run`` and the ``reason``."""
_OF_THE_RUN = (
    Column("run_id", "text", "Name of the run's folder."),
    Column("run_created", "text", "When the run began, ISO 8601, UTC."),
    Column("run_state", "text", "`finished`, `unfinished` or `running`."),
    Column("report_rules", "whole", "Number of the rules that the verdicts follow."),
)
_WARNINGS = "warnings"
Value = Scalar | tuple[str, ...]
_BLOCK = 1 << 20


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
    own = {column.name: value for column, value in zip(_OF_THE_RUN, values, strict=True)}
    return [{**own, **scalars(report, row), _WARNINGS: row.warnings} for row in report.settings]


def runs_parquet(table: RunsTable) -> Iterator[bytes]:
    """Make a Parquet file of the rows; each column says what it holds.

    Values of single keys are 64-bit or text, null where there are none; undefined numbers are NaN.
    ``warnings`` is a list of texts.

    Args:
        table: The rows.

    Yields:
        The bytes of the file, in order.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {
        "text": pa.string(),
        "whole": pa.int64(),
        "number": pa.float64(),
        "flag": pa.bool_(),
    }
    arrays, fields = [], []
    for name, column in _names(table):
        values = [_encoded(row.get(name)) for row in table.rows]
        arrays.append(pa.array(values, types[column.kind]))
        about = {"description": column.description}
        fields.append(pa.field(name, types[column.kind], metadata=about))
    arrays.append(pa.array([_encoded(row[_WARNINGS]) for row in table.rows], pa.list_(pa.string())))
    about = {"description": "What to know before quoting a number."}
    fields.append(pa.field(_WARNINGS, pa.list_(pa.string()), metadata=about))
    own = {
        "schema": REPORT_SCHEMA,
        "version": __version__,
        "left_out": [{"run": run, "reason": reason} for run, reason in table.left_out],
    }
    schema = pa.schema(fields, metadata={METADATA_KEY: json.dumps(own)})
    with tempfile.TemporaryFile(dir=temporary_folder()) as file:
        pq.write_table(pa.table(arrays, schema=schema), file)
        file.seek(0)
        while block := file.read(_BLOCK):
            yield block


def _names(table: RunsTable) -> Iterator[tuple[str, Column]]:
    """The columns: those that every file has, and those that depend on the runs behind theirs."""
    found = {name for row in table.rows for name in row}
    known = {column.name for column in _OF_THE_RUN}
    more: dict[str, list[str]] = {}
    for name in sorted(found - known - {_WARNINGS}):
        more.setdefault(column_of(name).name, []).append(name)
    for column in (*_OF_THE_RUN, *columns()):
        if column.is_prefix:
            yield from ((name, column) for name in more.get(column.name, ()))
        else:
            yield column.name, column


def _encoded(value: Any) -> Any:
    """A value whose text has no lone surrogates, which UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return [_encoded(item) for item in value] if isinstance(value, tuple) else value
