"""One-line descriptions of exceptions."""

from __future__ import annotations


def first_line(error: BaseException, *, empty: str | None = None) -> str:
    """Return the first line of an exception's message.

    Args:
        error: The exception.
        empty: Returned for an empty message; None for the name of the class.
    """
    lines = str(error).strip().splitlines()
    if lines:
        return lines[0]
    return type(error).__name__ if empty is None else empty


def named_line(error: BaseException) -> str:
    """Return the class and the first line of the message: ``KeyError: 'x'``."""
    return f"{type(error).__name__}: {first_line(error, empty='no message')}"
