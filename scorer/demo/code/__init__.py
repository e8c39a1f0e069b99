"""The code text: some of this project's own source, frozen in one file."""

from __future__ import annotations

import functools
from pathlib import Path

from scorer.demo.frozen_text import frozen_documents

CODE_FILE = Path(__file__).resolve().parent / "documents.txt"
"""The documents. Each begins with a line of a form feed and its title."""
SHA256 = "cea88e7d72d7bb365436db3b66a3c3fe178fae33268cb244ae268aa62a5079d3"
"""Hex SHA-256 of the file. The figures of every run on the text depend on it."""


@functools.cache
def code_documents() -> tuple[tuple[str, str], ...]:
    """Return the code text: files of source in a fixed order, which mixes subjects.

    Returns:
        (path, text) pairs; a text ends with a line break.

    Raises:
        QfidError: The file is not the one that this version came with.
    """
    return frozen_documents(CODE_FILE, SHA256)
