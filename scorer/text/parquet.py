"""Reads text columns of Parquet files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError, WillNotFit
from scorer.text.content import LARGEST, reason, too_large

# Rows that are decoded at a time. A value that is stored once may stand in every row.
_ROWS = 64


def read_parquet_column(path: Path, column: str) -> list[str]:
    """Return all values of a text column.

    Raises:
        InputError: The file is not Parquet, lacks the column, or a value is not text.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InputError(f"`{path}` cannot be read: {reason(error)}") from error
    name = path.name
    if column not in parquet_columns(name, data):
        raise InputError(f"`{name}` has no column `{column}`")
    values = [row[column] for row in parquet_rows(name, data, [column])]
    for i, value in enumerate(values, 1):
        if not isinstance(value, str):
            raise InputError(f"row {i} of `{name}` holds no text in `{column}`")
    return values


def parquet_columns(name: str, data: bytes) -> list[str]:
    """Return the names of the columns of a Parquet file's content.

    Raises:
        InputError: It is not Parquet.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            return list(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise InputError(f"`{name}` is not a Parquet file: {reason(error)}") from error


def parquet_rows(name: str, data: bytes, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file's content.

    Args:
        name: Name of the file.
        data: Its content.
        columns: Names of the columns to read.

    Raises:
        InputError: They cannot be read, or hold too much text.
        WillNotFit: They take more memory than there is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    size = 0
    try:
        with pq.ParquetFile(pa.BufferReader(data)) as file:
            for batch in file.iter_batches(_ROWS, columns=list(columns)):
                size += batch.nbytes
                if size > LARGEST:
                    raise too_large(name)
                rows += batch.to_pylist()
    except MemoryError as error:
        raise WillNotFit(
            f"the text of `{name}` takes more memory than there is", "give a part of it"
        ) from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        named = ", ".join(f"`{column}`" for column in columns)
        raise InputError(f"column {named} of `{name}` cannot be read: {reason(error)}") from error
    return rows
