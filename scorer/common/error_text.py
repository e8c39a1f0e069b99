"""What an exception says, on one line."""

from __future__ import annotations


def first_line(error: BaseException, *, empty: str | None = None) -> str:
    """The first line of an exception's message.

    Args:
        error: The exception.
        empty: What stands for an empty message; None for the name of its class.
    """
    lines = str(error).strip().splitlines()
    if lines:
        return lines[0]
    return type(error).__name__ if empty is None else empty


def named_line(error: BaseException) -> str:
    """The class of an exception and the first line of its message, ``KeyError: 'x'``."""
    return f"{type(error).__name__}: {first_line(error, empty='no message')}"
