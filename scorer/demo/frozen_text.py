"""Texts that ship with the package: documents in one file, frozen by its SHA-256."""

from __future__ import annotations

import hashlib
from pathlib import Path

from scorer.common.errors import QfidError

_MARK = "\f"


def joined(documents: list[tuple[str, str]]) -> str:
    """The content of a file for (title, text) pairs; see :func:`frozen_documents`."""
    return "".join(f"{_MARK}{title}\n{text}" for title, text in documents)


def frozen_documents(path: Path, sha256: str) -> tuple[tuple[str, str], ...]:
    """Read the documents of a file, in its order.

    Args:
        path: The file. Each document begins with a line of a form feed and its title.
        sha256: Its hex SHA-256.

    Returns:
        (title, text) pairs; a text ends with a line break.

    Raises:
        QfidError: The file is not the one that this version came with.
    """
    data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != sha256:
        raise QfidError(f"`{path}` was changed", "install qfid again")
    parts = data.decode("utf-8").split(_MARK)[1:]
    heads = (part.partition("\n") for part in parts)
    return tuple((title, text) for title, _, text in heads)
