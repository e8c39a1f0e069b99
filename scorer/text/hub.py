"""Reads a column of a split of a data set from the local cache of the Hub."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scorer.common.errors import CorpusNotCached, InputError
from scorer.common.inert_text import shown
from scorer.download.dataset_files import cached_split
from scorer.spec.corpora import HubText
from scorer.text.content import LARGEST, decoded, is_parquet, reason, too_large, unpacked
from scorer.text.parquet import parquet_columns, parquet_rows
from scorer.text.rows import json_rows, source_of_rows
from scorer.text.source_text import SourceText

_MOST_NAMED = 12


def read_hub_text(text: HubText) -> SourceText:
    """Read the text of a data set, each row a document; no network is used.

    Text is joined with blank lines, as rows of a file are; rows of messages go through the model's
    chat template.

    Raises:
        CorpusNotCached: It is not in the local cache.
        InputError: It has no such column, or a row cannot be read.
    """
    found = cached_split(text)
    if found is None:
        raise CorpusNotCached(
            f"`{text.source}` is not in the local Hugging Face cache",
            f"`qfid pull {text.source}` fetches it",
        )
    source = source_of_rows(text.unpinned, _rows(text, found.files))
    return SourceText(
        text.unpinned,
        text.split,
        found.text.revision,
        source.text,
        source.sha256,
        source.documents,
        source.chat,
    )


def _rows(text: HubText, files: Iterable[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    number = size = 0
    for path in files:
        for value in _values(text, path):
            number += 1
            if isinstance(value, str):
                size += len(value)
                if size > LARGEST:
                    raise too_large(text.unpinned)
                yield f"row {number}", {"text": value}
            elif isinstance(value, list):
                # Parquet gives every message of a column the same keys; those it lacks are null.
                yield f"row {number}", {"messages": [_without_nulls(each) for each in value]}
            else:
                raise InputError(
                    f"row {number} of `{text.unpinned}` holds no text in `{text.column}`",
                    "name a column of text in every row",
                )


def _values(text: HubText, path: Path) -> Iterator[Any]:
    try:
        name, data = path.name, path.read_bytes()
    except (OSError, MemoryError) as error:
        raise InputError(f"`{path}` cannot be read: {reason(error)}") from error
    ending, data = unpacked(name, data)
    if is_parquet(name, ending, data):
        columns = parquet_columns(name, data)
        if columns.count(text.column) != 1:
            raise _no_column(text, columns)
        for row in parquet_rows(name, data, [text.column]):
            yield row[text.column]
        return
    rows = json_rows(name, ending, decoded(name, data))
    if rows is None:
        raise InputError(f"`{name}` of `{text.repo}` holds no rows of JSON")
    for _, values in rows:
        if text.column not in values:
            raise _no_column(text, list(values))
        yield values[text.column]


def _without_nulls(message: Any) -> Any:
    if not isinstance(message, dict):
        return message
    return {key: value for key, value in message.items() if value is not None}


def _no_column(text: HubText, columns: list[str]) -> InputError:
    listed = [shown(name) for name in columns]
    more = len(listed) - _MOST_NAMED
    named = ", ".join(listed[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return InputError(
        f"split `{text.split}` of `{text.repo}` has no column `{text.column}`", f"it has {named}"
    )
