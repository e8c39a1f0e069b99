"""The text in fifteen languages: short essays, frozen in one file."""

from __future__ import annotations

import functools
from pathlib import Path

from scorer.demo.frozen_text import frozen_documents

LANGUAGES_FILE = Path(__file__).resolve().parent / "documents.txt"
"""The documents. Each begins with a line of a form feed and its title."""
SHA256 = "c7607238d7dd61f7b4693b6913b23cb2c79786a05c3336c7fe771d70561e52cc"
"""Hex SHA-256 of the file. The figures of every run on the text depend on it."""


@functools.cache
def language_documents() -> tuple[tuple[str, str], ...]:
    """Return the essays, one in each language.

    Returns:
        (title, text) pairs; a title begins with the language's ISO 639-1 code, and a text ends with
        a line break.

    Raises:
        QfidError: The file is not the one that this version came with.
    """
    return frozen_documents(LANGUAGES_FILE, SHA256)
