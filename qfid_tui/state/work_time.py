"""How long a run has worked, by the news of it: silence that is too long is no work.

Pure standard library.
"""

from __future__ import annotations

import math
from collections.abc import Callable

_LEAST_SECONDS = 10.0
_TIMES_LONGEST = 4.0
_KNOWN_AFTER = 3


class WorkTime:
    """Counts the time between pieces of news.

    A process that is suspended, or a computer that sleeps, sends no news for many times as long as
    usual. That silence is not counted, and :attr:`silence` tells of it while it lasts.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """Begin now.

        Args:
            clock: Returns seconds that never go back.
        """
        self._clock = clock
        self._last = clock()
        self._counted = 0.0
        self._longest = 0.0
        self._pieces = 0

    def news(self) -> None:
        """Note that something has come."""
        now = self._clock()
        gap = now - self._last
        self._last = now
        if gap <= self._most:
            self._counted += gap
            self._longest = max(self._longest, gap)
            self._pieces += 1
        else:
            self._counted += self._usual

    @property
    def seconds(self) -> float:
        """Seconds of work so far."""
        gap = self._clock() - self._last
        return self._counted + (gap if gap <= self._most else self._usual)

    @property
    def silence(self) -> float | None:
        """Seconds since the last news where that is unusually long; else None."""
        gap = self._clock() - self._last
        return gap if gap > self._most else None

    @property
    def _most(self) -> float:
        """Seconds without news that are still work; not limited before the usual is known."""
        if self._pieces < _KNOWN_AFTER:
            return math.inf
        return max(_LEAST_SECONDS, _TIMES_LONGEST * self._longest)

    @property
    def _usual(self) -> float:
        return self._counted / self._pieces if self._pieces else 0.0
