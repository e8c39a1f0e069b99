"""Reads a corpus from a file or from standard input: text, JSON lines or Parquet, also gzipped."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from scorer.common.errors import InputError
from scorer.text.content import decoded, is_parquet, reason, unpacked
from scorer.text.rows import json_rows, rows_of_parquet, source_of_rows
from scorer.text.source_text import SourceText
from scorer.text.wikitext import RAW_SHA256, raw_article_starts

CORPORA_HINT = (
    "corpora: wikitext2, builtin, code, languages, - for standard input, a file of text, JSON "
    "lines or Parquet, or hf:org/name:split:column"
)


def read_text_file(path: Path) -> SourceText:
    """Read a file as one text; see :func:`text_of`.

    Raises:
        InputError: The file is missing, not a regular file, or its content is refused.
    """
    path = _regular_file(path)
    try:
        data = path.read_bytes()
    except (OSError, MemoryError) as error:
        raise InputError(f"`{path}` cannot be read: {reason(error)}") from error
    return text_of(path.name, data)


def text_of(name: str, data: bytes) -> SourceText:
    """Make one text of the content of a file.

    The content decides what it is. Plain text is unchanged, except that a byte order mark is
    removed. Rows of JSON or Parquet are joined, see :func:`~scorer.text.rows.source_of_rows`.

    Args:
        name: Name of the file, or ``standard input``.
        data: Its content.

    Raises:
        InputError: It is empty, not UTF-8, damaged, or has a malformed row; the message names the
            byte, line or row.
    """
    ending, data = unpacked(name, data)
    if is_parquet(name, ending, data):
        return source_of_rows(name, rows_of_parquet(name, data))
    text = decoded(name, data)
    rows = json_rows(name, ending, text)
    if rows is not None:
        return source_of_rows(name, rows)
    source = SourceText.of(name, text)
    if source.sha256 == RAW_SHA256:
        source = replace(source, documents=raw_article_starts(text))
    return source


def _regular_file(path: Path) -> Path:
    try:
        path = path.expanduser()
        if path.is_dir():
            raise InputError(f"corpus `{path}` is a folder", CORPORA_HINT)
        exists, regular = path.exists(), path.is_file()
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"corpus `{path}` cannot be opened: {reason(error)}") from error
    if not exists and not path.suffix:
        raise InputError(f"corpus `{path}` is neither a known corpus nor a file", CORPORA_HINT)
    if not exists:
        raise InputError(f"there is no file `{path}`", CORPORA_HINT)
    if not regular:
        raise InputError(
            f"corpus `{path}` is not a regular file", "--corpus - reads standard input"
        )
    return path
