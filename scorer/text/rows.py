"""Rows of a file: JSON lines, a JSON list of objects, or Parquet. Each row is a document."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from scorer.common.errors import InputError
from scorer.text.chat_forms import FORMS, form_of, keys_of
from scorer.text.chat_rows import ROW_HINT, conversation_line
from scorer.text.content import UTF8_HINT, reason
from scorer.text.parquet import parquet_columns, parquet_rows
from scorer.text.source_text import SourceText, join_documents

LocatedRow = tuple[str, dict[str, Any]]
"""The location of a row (``line 3``) and its values."""

_JSON_LINES = (".jsonl", ".ndjson")


def json_rows(name: str, ending: str, text: str) -> Iterable[LocatedRow] | None:
    """The rows of a text in JSON; None if it is plain text.

    A text is taken as JSON lines if its name says so, or if its first line is an object with
    ``text`` or a conversation; as a list if it is a JSON list of such objects.

    Args:
        name: Name of the file.
        ending: Its ending, in lower case.
        text: Its text.

    Raises:
        InputError: While the rows are read: one is malformed.
    """
    if ending in _JSON_LINES or _is_row(_json(_first_line(text))):
        return _line_rows(name, text)
    if text.lstrip().startswith("["):
        rows = _json(text)
        if isinstance(rows, list) and rows and all(_is_row(row) for row in rows):
            return ((f"row {i}", row) for i, row in enumerate(rows, 1))
    return None


def rows_of_parquet(name: str, data: bytes) -> Iterable[LocatedRow]:
    """The rows of a Parquet file's content.

    Raises:
        InputError: It cannot be read, or has no column of text.
    """
    columns = parquet_columns(name, data)
    single = {column: None for column in columns if columns.count(column) == 1}
    form = None if "text" in single else form_of(single)
    if form is None and "text" not in single:
        raise InputError(
            f"`{name}` has no column `text`, and none of {_listed(FORMS)} with a conversation",
            ROW_HINT,
        )
    wanted = ["text"] if form is None else [key for key in keys_of(form) if key in single]
    for i, row in enumerate(parquet_rows(name, data, wanted), 1):
        # Parquet gives every message of a column the same keys; those it lacks are null.
        yield f"row {i}", row if form is None else {**row, **_without_nulls(row)}


def source_of_rows(name: str, rows: Iterable[LocatedRow]) -> SourceText:
    """Join rows to one text.

    Rows with ``text`` are joined with a blank line. Rows with a conversation become one line of
    JSON each (:func:`~scorer.text.chat_rows.conversation_line`), for the model's chat template.

    Raises:
        InputError: A row is malformed, or of another kind than the first.
    """
    texts: list[tuple[str, str]] = []
    kind: str | None = None
    for where, row in rows:
        form = None if "text" in row else form_of(row)
        if kind is None:
            kind = form or "text"
        elif kind != (form or "text") and (form or "text" in row):
            raise InputError(
                f"`{name}` mixes kinds of rows: {where} has `{form or 'text'}`, those before it "
                f"`{kind}`",
                "give rows of one kind; " + ROW_HINT,
            )
        text = row.get("text") if form is None else conversation_line(name, where, row, form)
        if not isinstance(text, str):
            what = "no `text`" if "text" in row or kind == "text" else f"no `{kind}`"
            raise InputError(f"{where} of `{name}` has {what}", ROW_HINT)
        if not _encodable(text):
            raise InputError(f"{where} of `{name}` holds half a surrogate pair", UTF8_HINT)
        title = row.get("title")
        named = isinstance(title, str) and bool(title.strip()) and _encodable(title)
        texts.append((str(title) if named else where, text))
    chat = kind not in (None, "text")
    joined, documents = join_documents(texts, "\n" if chat else "\n\n")
    return SourceText.of(name, joined, documents, chat=chat)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _line_rows(name: str, text: str) -> Iterable[LocatedRow]:
    # Not splitlines(), which also splits at U+2028 and others that JSON strings may contain.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"line {number} of `{name}` is not JSON: {reason(error)}", ROW_HINT
            ) from error
        if not isinstance(row, dict):
            raise InputError(f"line {number} of `{name}` is not a JSON object", ROW_HINT)
        yield f"line {number}", row


def _first_line(text: str) -> str:
    return text.lstrip().partition("\n")[0]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _is_row(value: Any) -> bool:
    return isinstance(value, dict) and ("text" in value or form_of(value) is not None)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(v) for key, v in value.items() if v is not None}
    if isinstance(value, list):
        return [_without_nulls(v) for v in value]
    return value


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
