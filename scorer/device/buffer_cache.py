"""Buffers of MLX on the CPU that are used again instead of given back to the system.

MLX keeps 32 MiB of freed buffers by default. A tile of logits is larger, and each new one costs a
page fault every 4 KiB: 40 ms where filling it takes 3 ms, measured for 100 MB on an EPYC.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

_collectives = threading.Lock()
_waiting_for_ranks = threading.Event()


@contextmanager
def waiting_for_ranks() -> Iterator[None]:
    """A collective of MLX is waited for inside the block, in one thread at a time."""
    with _collectives:
        _waiting_for_ranks.set()
    try:
        yield
    finally:
        _waiting_for_ranks.clear()


def free_buffers() -> None:
    """Give freed buffers back to the system, unless a collective is waited for.

    On a CPU MLX first waits for all that its streams have begun, and no other thread of Python runs
    meanwhile: of a collective, until all ranks are at it.
    """
    import mlx.core as mx

    with _collectives:
        if not _waiting_for_ranks.is_set():
            mx.clear_cache()


class _Limit:
    """MLX's limit on freed buffers, raised by what all runs of this process ask for."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._asked = 0
        self._before = 0
        self._ours = 0

    def add(self, size: int) -> None:
        """Raise the limit by ``size`` bytes, or lower it where that is negative."""
        import mlx.core as mx

        with self._lock, _collectives:
            first = not self._asked
            self._asked += size
            if _waiting_for_ranks.is_set():
                # MLX would wait as in `free_buffers`. The run is about to end.
                return
            found = mx.set_cache_limit(self._asked)
            if first or found != self._ours:
                # The program's own, or what it has set meanwhile.
                self._before = found
            self._ours = max(self._before, self._asked) if self._asked else self._before
            mx.set_cache_limit(self._ours)


_limit = _Limit()


@contextmanager
def keeping_buffers(size: int) -> Iterator[None]:
    """Let MLX keep so many bytes of freed buffers inside the block; see the module.

    Args:
        size: Bytes; 0 changes nothing.
    """
    if size:
        _limit.add(size)
    try:
        yield
    finally:
        if size:
            _limit.add(-size)
