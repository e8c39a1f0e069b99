"""The child process that works on foreign files and answers one request.

It is the other side of :mod:`scorer.common.bounded_process`.
"""

from __future__ import annotations

import json
import os
import signal
import traceback
from collections.abc import Callable
from typing import IO, Any

from scorer.common.error_text import named_line
from scorer.common.error_values import error_values
from scorer.common.errors import QfidError, WillNotFit
from scorer.common.foreign_packages import foreign_import
from scorer.common.process_limits import limit_memory, limit_processor_time, limit_reached

Say = Callable[[str], None]
"""Told what is begun, as messages say it: "reading `t.txt`"."""
Work = Callable[[dict[str, Any], Say], tuple[dict[str, Any], bytes]]
"""From a request to the head of its answer and the bytes that follow."""


def answer(events: IO[str], requests: IO[bytes], prepare: Callable[[], Work]) -> int:
    """Answer one request.

    Args:
        events: Where the answer goes.
        requests: Where the request comes from, one line of JSON.
        prepare: Imports what the work needs, before the request is there, and returns it.

    Returns:
        Exit code 0; 1 where there was no request.
    """
    # Ctrl-C is for the program that waits; it ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Arrow's own memory pool takes a GiB in advance, which would count as used.
    os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
    data = b""
    try:
        work = prepare()
        request = json.loads(requests.readline() or b"null")
        if request is None:
            return 1
        limit_memory(request["memory"])
        # Where nobody waits any more, and this process could not notice.
        limit_processor_time(request["seconds"] * (os.cpu_count() or 1))
        head, data = work(request, lambda step: _send(events, {"step": step}))
        head["bytes"] = len(data)
    except Exception as error:
        head = _failure(error)
    _send(events, head)
    with os.fdopen(os.dup(events.fileno()), "wb") as binary:
        binary.write(data)
    return 0


def _send(events: IO[str], line: dict[str, Any]) -> None:
    events.write(json.dumps(line) + "\n")
    events.flush()


def _failure(error: Exception) -> dict[str, Any]:
    if isinstance(error, QfidError):
        return error_values(error)
    if isinstance(error, MemoryError):
        return error_values(WillNotFit(""))
    known = limit_reached(error)
    if isinstance(error, ImportError | SyntaxError):
        known = foreign_import(error)
    if known is not None:
        return error_values(known)
    internal = QfidError(f"internal error: {named_line(error)}", "please report it")
    return {**error_values(internal), "traceback": traceback.format_exc()}
