"""Paths the user names, made absolute."""

from __future__ import annotations

from pathlib import Path


def absolute(path: str) -> str:
    """The path from the root; as it is where its ``~user`` is unknown."""
    try:
        return str(Path(path).expanduser().absolute())
    except (OSError, RuntimeError):
        return path
