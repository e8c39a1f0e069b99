"""Writes messages to standard error. Standard library only."""

from __future__ import annotations

import contextlib
import os
import sys

from scorer.common.errors import QfidError
from scorer.common.inert_text import inert

# Longer than any path.
_LONGEST = 4000


def say(text: str) -> None:
    """Write one line to standard error: control characters are escaped, long text is cut.

    Errors are ignored: a closed standard error must not end a run.
    """
    if len(text) > _LONGEST:
        text = f"{text[:_LONGEST]}… ({len(text) - _LONGEST} more characters)"
    write(inert(text) + "\n")


def show_error(error: QfidError) -> None:
    """Write an error: its message, then its hint."""
    say_with_hint("error", error.message, error.hint)


def say_with_hint(kind: str, message: str, hint: str) -> None:
    """Write ``kind: message`` and, where there is one, a line with the hint."""
    say(f"{kind}: {message}")
    if hint:
        say(f"hint: {hint}")


def write(text: str) -> None:
    """Write text to standard error unchanged and flush it."""
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def write_from_handler(text: str) -> None:
    """Write to standard error from a signal handler, bypassing the buffer of the stream."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode("utf-8", "replace"))


def on_terminal() -> bool:
    """Return whether standard error is a terminal that can rewrite a line."""
    if sys.stderr is None or os.environ.get("TERM") in (None, "", "dumb"):
        return False
    with contextlib.suppress(ValueError):
        return sys.stderr.isatty()
    return False
