"""What goes to standard error, and how: one place owns its form.

Pure standard library.
"""

from __future__ import annotations

import contextlib
import os
import sys

from scorer.common.errors import QfidError
from scorer.common.inert_text import inert

# Room for any path and then some; what is longer is somebody's joke.
_LONGEST = 4000


def say(text: str) -> None:
    """Write one line to standard error, foreign characters made harmless, absurd lengths cut.

    A standard error that nobody reads is no reason to end a run.
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
    """Write text to standard error as it is, at once."""
    if sys.stderr is None:
        return
    with contextlib.suppress(OSError, ValueError):
        sys.stderr.write(text)
        sys.stderr.flush()


def write_from_handler(text: str) -> None:
    """Write to standard error from a signal handler, where a buffered stream may be half-way."""
    with contextlib.suppress(OSError):
        os.write(2, text.encode("utf-8", "replace"))


def on_terminal() -> bool:
    """Whether standard error is a terminal that can rewrite a line."""
    if sys.stderr is None or os.environ.get("TERM") in (None, "", "dumb"):
        return False
    with contextlib.suppress(ValueError):
        return sys.stderr.isatty()
    return False
