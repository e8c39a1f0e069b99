"""All figures of many runs as Parquet, for data frames: a row for each run and setting."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from typing import Any

from scorer._version import __version__
from scorer.common.folders import temporary_folder
from scorer.report.runs_table import OF_THE_RUN, WARNINGS, RunsTable
from scorer.report.scalars import Column, column_of, columns
from scorer.runs.facts import REPORT_SCHEMA

METADATA_KEY = "qfid"
"""Key of the metadata of the file: a JSON object with the report's ``schema``, the ``version`` of
qfid, and ``left_out``, a list of objects with the ``run`` and the ``reason``."""
_BLOCK = 1 << 20


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
    arrays.append(pa.array([_encoded(row[WARNINGS]) for row in table.rows], pa.list_(pa.string())))
    about = {"description": "What to know before quoting a number."}
    fields.append(pa.field(WARNINGS, pa.list_(pa.string()), metadata=about))
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
    known = {column.name for column in OF_THE_RUN}
    more: dict[str, list[str]] = {}
    for name in sorted(found - known - {WARNINGS}):
        more.setdefault(column_of(name).name, []).append(name)
    for column in (*OF_THE_RUN, *columns()):
        if column.is_prefix:
            yield from ((name, column) for name in more.get(column.name, ()))
        else:
            yield column.name, column


def _encoded(value: Any) -> Any:
    """A value whose text has no lone surrogates, which UTF-8 cannot hold."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return [_encoded(item) for item in value] if isinstance(value, tuple) else value
