"""Lines from the pipe of a child process, bounded in length, and ended when the child has ended."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator

LONGEST_LINE = 16 << 20
"""Bytes of the longest line that is read; the report of 15 000 chunks is a quarter of it."""

_READ = 1 << 16
_POLL_SECONDS = 0.2
# A process that the child has started may keep the pipe open for ever.
_GRACE_SECONDS = 1.0


class LineTooLong(Exception):
    """A line is longer than :data:`LONGEST_LINE`."""


def lines_of(pipe: int, has_ended: Callable[[], bool]) -> Iterator[bytes]:
    """Yield the lines of a pipe as they arrive, each with its newline; the last may lack it.

    Ends when every process has closed the pipe, or soon after the child has ended: what it had
    written is read, what others write to the pipe is not waited for.

    Args:
        pipe: Descriptor to read.
        has_ended: Whether the child has ended.

    Raises:
        LineTooLong: A line is longer than :data:`LONGEST_LINE`.
    """
    poller = select.poll()
    poller.register(pipe, select.POLLIN)
    parts: list[bytes] = []
    length, ended = 0, None
    while True:
        # Asked before the pipe is: whatever the child wrote before its end is there by then.
        if ended is None and has_ended():
            ended = time.monotonic()
        if not poller.poll(int(_POLL_SECONDS * 1000)):
            if ended is not None:
                break
            continue
        if ended is not None and time.monotonic() - ended > _GRACE_SECONDS:
            break
        data = os.read(pipe, _READ)
        if not data:
            break
        first, newline, rest = data.partition(b"\n")
        while newline:
            yield b"".join((*parts, first, newline))
            parts, length = [], 0
            first, newline, rest = rest.partition(b"\n")
        length += len(first)
        if length > LONGEST_LINE:
            raise LineTooLong
        if first:
            parts.append(first)
    if parts:
        yield b"".join(parts)
