"""What a library prints in one thread, hidden; other threads print as ever."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from scorer.common.loans import GiveBack, Loan, replace_attribute, set_here

_hidden: ContextVar[io.StringIO | None] = ContextVar("qfid_hidden_output", default=None)


class _ThreadOutput:
    """Stands in for standard output: where it is hidden, a buffer; elsewhere the stream itself."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        hidden = _hidden.get()
        return getattr(self._stream if hidden is None else hidden, name)


def _take() -> GiveBack:
    if sys.stdout is None:
        # Closed: what is printed goes nowhere.
        return lambda: None
    return replace_attribute(sys, "stdout", _ThreadOutput(sys.stdout))


_in_place = Loan(_take)


@contextmanager
def hidden_output() -> Iterator[None]:
    """Let nothing that this thread prints in the block reach standard output."""
    with _in_place, set_here(_hidden, io.StringIO()):
        yield
