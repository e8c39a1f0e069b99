"""Rows of a file: JSON lines, a JSON list of objects, or Parquet. Each row is a document."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from scorer.common.errors import InputError
from scorer.text.chat_rows import ROW_HINT, conversation_line
from scorer.text.content import UTF8_HINT, reason
from scorer.text.parquet import parquet_columns, parquet_rows
from scorer.text.source_text import SourceText, join_documents

LocatedRow = tuple[str, dict[str, Any]]
"""The location of a row (``line 3``) and its values."""

_JSON_LINES = (".jsonl", ".ndjson")
_BODIES = ("text", "messages")


def json_rows(name: str, ending: str, text: str) -> Iterable[LocatedRow] | None:
    """The rows of a text in JSON; None if it is plain text.

    A text is taken as JSON lines if its name says so, or if its first line is an object with
    ``text`` or ``messages``; as a list if it is a JSON list of such objects.

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
    body = next((c for c in _BODIES if columns.count(c) == 1), None)
    if body is None:
        raise InputError(f"`{name}` has no column `text` and none `messages`")
    wanted = [body, *(["tools"] if body == "messages" and columns.count("tools") == 1 else [])]
    for i, row in enumerate(parquet_rows(name, data, wanted), 1):
        # Parquet gives every message of a column the same keys; those it lacks are null.
        yield f"row {i}", _without_nulls(row) if body == "messages" else row


def source_of_rows(name: str, rows: Iterable[LocatedRow]) -> SourceText:
    """Join rows to one text.

    Rows with ``text`` are joined with a blank line. Rows with ``messages`` become one line of JSON
    each (:func:`~scorer.text.chat_rows.conversation_line`), for the model's chat template.

    Raises:
        InputError: A row is malformed.
    """
    texts: list[tuple[str, str]] = []
    chat: bool | None = None
    for where, row in rows:
        is_chat = "text" not in row and "messages" in row
        if chat is not None and chat != is_chat:
            raise InputError(f"`{name}` mixes text and chat rows, first at {where}", ROW_HINT)
        chat = is_chat
        text = conversation_line(name, where, row) if chat else row.get("text")
        if not isinstance(text, str):
            raise InputError(f"{where} of `{name}` has no `text`", ROW_HINT)
        if not _encodable(text):
            raise InputError(f"{where} of `{name}` holds half a surrogate pair", UTF8_HINT)
        title = row.get("title")
        named = isinstance(title, str) and bool(title.strip()) and _encodable(title)
        texts.append((str(title) if named else where, text))
    joined, documents = join_documents(texts, "\n" if chat else "\n\n")
    return SourceText.of(name, joined, documents, chat=bool(chat))


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
    return isinstance(value, dict) and any(body in value for body in _BODIES)


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
