"""Streams of MLX for threads that compute beside each other on the CPU.

A thread may compute only what belongs to a stream of its own. MLX starts a thread of the system
for each new stream and never ends it, so streams are kept and lent again, one borrower at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx

_free: deque[mx.Stream] = deque()


@contextmanager
def lent_cpu_stream() -> Iterator[None]:
    """Compute in this thread on the CPU, on a stream that no other thread uses."""
    try:
        stream = _free.pop()
    except IndexError:
        stream = mx.new_thread_unsafe_stream(mx.cpu)
    try:
        with mx.stream(stream):
            yield
    finally:
        _free.append(stream)
