"""Ends a run in order before the machine it runs on begins to swap."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from scorer.common.errors import WillNotFit
from scorer.device.host_memory import HostMemory, host_memory

INTERVAL = 0.25
"""Seconds between two looks at the memory."""


class MemoryWatch:
    """A thread that looks at the memory of the host while a run works.

    Below :attr:`~scorer.device.host_memory.HostMemory.low` the run ends at its next tile, with a
    report; below half of that it ends at once, with what is saved.

    Attributes:
        short: Why the run has to end, or None while there is memory enough.
    """

    def __init__(
        self,
        read: Callable[[], HostMemory] = host_memory,
        *,
        at_once: Callable[[WillNotFit], None] | None = None,
        interval: float | None = None,
    ) -> None:
        """Start nothing yet.

        Args:
            read: Gives the memory there is now.
            at_once: Ends the process without waiting for the next tile; None never does.
            interval: Seconds between two looks; None for :data:`INTERVAL`.
        """
        self.short: WillNotFit | None = None
        self._read = read
        self._at_once = at_once
        self._interval = INTERVAL if interval is None else interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._over.wait(self._interval):
            memory = self._read()
            if memory.available >= memory.low:
                continue
            if self.short is None:
                self.short = _short(memory)
            if self._at_once is not None and memory.available < memory.low // 2:
                self._at_once(_short(memory))
                return

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()


def _short(memory: HostMemory) -> WillNotFit:
    gib = 1 << 30
    return WillNotFit(
        f"memory ran short: {memory.available / gib:.1f} of {memory.total / gib:.1f} GiB are "
        "available; stopped before the machine swaps",
        "everything scored is saved; free memory, or score with --batch 1 or shorter chunks",
    )
