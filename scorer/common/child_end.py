"""How a child process ended that has not said its last word. Pure standard library."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Sequence

from scorer.common.errors import QfidError, WillNotFit
from scorer.common.out_of_memory import says_out_of_memory
from scorer.common.process_limits import THREADS_HINT, says_too_few_threads


def ending(code: int) -> str:
    """Describe an exit code: ``was ended by SIGABRT``, ``ended with code 3``."""
    if code >= 0:
        return f"ended with code {code}"
    with contextlib.suppress(ValueError):
        return f"was ended by {signal.Signals(-code).name}"
    return f"was ended by signal {-code}"


def may_lack_memory(code: int, log: Sequence[str]) -> bool:
    """Whether it may have run out of memory: its log says so, or a signal hints at it.

    Metal aborts the process, Linux kills it, and MLX on the CPU writes to memory that it could not
    allocate.

    Args:
        code: Its exit code, negative for a signal that nobody here has sent.
        log: The last lines of its standard error.
    """
    return any(map(says_out_of_memory, log)) or -code in (signal.SIGKILL, signal.SIGSEGV)


def died(code: int, log: Sequence[str] = (), saved: str = "") -> QfidError:
    """The error of a scorer that ended without a report and without an error of its own.

    Args:
        code: Its exit code, negative for a signal that nobody here has sent.
        log: The last lines of its standard error.
        saved: What is saved, and what goes on with it.

    Returns:
        A :class:`~scorer.common.errors.WillNotFit` where the log says that memory ran out.
    """
    last_line = f"; its last line: {log[-1]}" if log else ""
    hints = [saved] if saved else []
    if any(map(says_too_few_threads, log)):
        hints.append(THREADS_HINT)
    elif may_lack_memory(code, log):
        hints.append("if memory ran out, score with --batch 1 or shorter chunks")
    kind = WillNotFit if any(map(says_out_of_memory, log)) else QfidError
    return kind(f"the scorer {ending(code)} without a report{last_line}", "; ".join(hints))
