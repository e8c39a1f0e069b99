"""Streams of MLX for threads that compute beside each other on the CPU.

A thread computes on a stream of its own. MLX starts a thread of the system for each new stream and
never ends it, so streams are kept and lent again, one borrower at a time.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx

_free: deque[mx.Stream] = deque()


@contextmanager
def lent_cpu_stream() -> Iterator[None]:
    """Compute in this thread on the CPU, on a stream that no other thread uses.

    Only for a thread that computes nothing afterwards: its former stream is not set again. To ask
    for that, as ``mx.stream`` does, would make one.
    """
    try:
        stream = _free.pop()
    except IndexError:
        stream = mx.new_thread_unsafe_stream(mx.cpu)
    mx.set_default_device(mx.cpu)
    mx.set_default_stream(stream)
    try:
        yield
    finally:
        _free.append(stream)
