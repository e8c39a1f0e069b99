"""Reads a corpus from a .txt, .md, .jsonl or .parquet file; each row is a document."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from scorer.common.error_text import first_line
from scorer.common.errors import InputError
from scorer.text.source_text import SourceText, join_documents

SUFFIXES = (".txt", ".md", ".jsonl", ".parquet")
_SUFFIX_HINT = "corpora: wikitext2, builtin, or a .txt .md .jsonl .parquet file"
_ROW_HINT = 'a row is {"text": "…"} or {"messages": [{"role": "user", "content": "…"}, …]}'
_UTF8_HINT = "save the file as UTF-8 text"

LocatedRow = tuple[str, dict[str, Any]]
"""The location of a row (``line 3``) and its values."""


def read_text_file(path: Path) -> SourceText:
    """Read a file as one text.

    Plain text is unchanged, except that a byte order mark is removed. Rows are joined with a blank
    line. Rows with ``messages`` become one JSON line each, for the model's chat template.

    Raises:
        InputError: The file is missing, not a regular file, of an unknown kind, empty, not UTF-8,
            or has a malformed row; the message names the byte, line or row.
    """
    path = _regular_file(path)
    name = path.name
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _from_rows(name, _parquet_rows(path))
    text = _decode(name, _read(path))
    if suffix == ".jsonl":
        return _from_rows(name, _jsonl_rows(name, text))
    return SourceText.of(name, text)


def read_parquet_column(path: Path, column: str) -> list[str]:
    """Return all values of a text column.

    Raises:
        InputError: The file is not Parquet, lacks the column, or a value is not text.
    """
    if column not in _parquet_columns(path):
        raise InputError(f"`{path.name}` has no column `{column}`")
    values = _parquet_values(path, column)
    for i, value in enumerate(values, 1):
        if not isinstance(value, str):
            raise InputError(f"row {i} of `{path.name}` holds no text in `{column}`")
    return values


def _regular_file(path: Path) -> Path:
    try:
        path = path.expanduser()
        if path.is_dir():
            raise InputError(f"corpus `{path}` is a folder", _SUFFIX_HINT)
        exists, regular = path.exists(), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"corpus `{path}` cannot be opened: {_reason(error)}") from error
    if path.suffix.lower() not in SUFFIXES:
        what = "is of an unknown kind" if exists else "is neither a known corpus nor a text file"
        raise InputError(f"corpus `{path}` {what}", _SUFFIX_HINT)
    if not exists:
        raise InputError(f"there is no file `{path}`", _SUFFIX_HINT)
    if not regular:
        raise InputError(f"corpus `{path}` is not a regular file", _SUFFIX_HINT)
    return path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except (OSError, MemoryError) as error:
        raise InputError(f"`{path}` cannot be read: {_reason(error)}") from error


def _decode(name: str, data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise InputError(f"`{name}` is UTF-16, not UTF-8, from byte 0 on", _UTF8_HINT)
    bom = 3 if data.startswith(b"\xef\xbb\xbf") else 0
    if (nul := data.find(b"\0")) >= 0:
        raise InputError(f"`{name}` is binary: byte {nul} is zero", _UTF8_HINT)
    try:
        return data[bom:].decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"`{name}` is not UTF-8: byte {bom + error.start} cannot be decoded", _UTF8_HINT
        ) from error


def _jsonl_rows(name: str, text: str) -> Iterable[LocatedRow]:
    # Not splitlines(), which also splits at U+2028 and others that JSON strings may contain.
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise InputError(
                f"line {number} of `{name}` is not JSON: {_reason(error)}", _ROW_HINT
            ) from error
        if not isinstance(row, dict):
            raise InputError(f"line {number} of `{name}` is not a JSON object", _ROW_HINT)
        yield f"line {number}", row


def _parquet_columns(path: Path) -> list[str]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            return list(file.schema_arrow.names)
    except (pa.ArrowException, OSError, ValueError, MemoryError) as error:
        raise InputError(f"`{path.name}` is not a Parquet file: {_reason(error)}") from error


def _parquet_values(path: Path, column: str) -> list[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=[column])
            return list(table.column(column).to_pylist())
    except (pa.ArrowException, OSError, ValueError, KeyError, MemoryError) as error:
        raise InputError(
            f"column `{column}` of `{path.name}` cannot be read: {_reason(error)}"
        ) from error


def _parquet_rows(path: Path) -> Iterable[LocatedRow]:
    columns = _parquet_columns(path)
    column = next((c for c in ("text", "messages") if columns.count(c) == 1), None)
    if column is None:
        raise InputError(f"`{path.name}` has no column `text` and none `messages`")
    for i, value in enumerate(_parquet_values(path, column), 1):
        yield f"row {i}", {column: value}


def _from_rows(name: str, rows: Iterable[LocatedRow]) -> SourceText:
    texts: list[tuple[str, str]] = []
    chat: bool | None = None
    for where, row in rows:
        is_chat = "text" not in row and "messages" in row
        if chat is not None and chat != is_chat:
            raise InputError(f"`{name}` mixes text and chat rows, first at {where}", _ROW_HINT)
        chat = is_chat
        text = _messages(name, where, row["messages"]) if chat else row.get("text")
        if not isinstance(text, str):
            raise InputError(f"{where} of `{name}` has no `text`", _ROW_HINT)
        if not _encodable(text):
            raise InputError(f"{where} of `{name}` holds half a surrogate pair", _UTF8_HINT)
        title = row.get("title")
        named = isinstance(title, str) and bool(title.strip()) and _encodable(title)
        texts.append((str(title) if named else where, text))
    joined, documents = join_documents(texts, "\n" if chat else "\n\n")
    return SourceText.of(name, joined, documents, chat=bool(chat))


def _messages(name: str, where: str, messages: Any) -> str:
    if not isinstance(messages, list) or not messages:
        raise InputError(f"`messages` in {where} of `{name}` is no list of messages", _ROW_HINT)
    for message in messages:
        if not isinstance(message, dict) or not all(
            isinstance(message.get(key), str) for key in ("role", "content")
        ):
            raise InputError(
                f"a message in {where} of `{name}` lacks `role` or `content`", _ROW_HINT
            )
    try:
        return json.dumps(messages, ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise InputError(
            f"a message in {where} of `{name}` holds more than text: {_reason(error)}", _ROW_HINT
        ) from error


def _encodable(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return first_line(error).split(". ")[0].rstrip(".")
