"""Stops a run before the machine starts to swap."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

from scorer.common.errors import WillNotFit
from scorer.device.host_memory import HostMemory, host_memory

INTERVAL = 0.25
"""Seconds between two checks of the memory."""


class MemoryWatch:
    """A thread that checks the available memory of the host during a run.

    Below :attr:`~scorer.device.host_memory.HostMemory.low` the run stops at its next tile, with a
    report. Below half of that the process ends at once; saved results are kept.

    Attributes:
        short: Why the run has to stop, or None while memory is sufficient.
    """

    def __init__(
        self,
        read: Callable[[], HostMemory] = host_memory,
        *,
        at_once: Callable[[WillNotFit], None] | None = None,
        interval: float | None = None,
    ) -> None:
        """Create the watch; entering it as a context starts the thread.

        Args:
            read: Returns the current memory.
            at_once: Ends the process without waiting for the next tile; None to only stop the run.
            interval: Seconds between two checks; None for :data:`INTERVAL`.
        """
        self.short: WillNotFit | None = None
        self._read = read
        self._at_once = at_once
        self._interval = INTERVAL if interval is None else interval
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._stopped.wait(self._interval):
            memory = self._read()
            if memory.available >= memory.low:
                continue
            if self.short is None:
                self.short = _short(memory)
            if self._at_once is not None and memory.is_all_but_gone:
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
        self._stopped.set()
        self._thread.join()


def _short(memory: HostMemory) -> WillNotFit:
    gib = 1 << 30
    return WillNotFit(
        f"memory ran short: {memory.available / gib:.1f} of {memory.total / gib:.1f} GiB are "
        "available; stopped before the machine swaps",
        "everything scored is saved; free memory, or score with --batch 1 or shorter chunks",
    )
