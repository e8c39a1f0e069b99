"""How many times a user asked to stop.

One press of Ctrl-C can send several SIGINTs: from the terminal to the whole process group, and from
a parent process that forwards it. They arrive within a few milliseconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

SAME_PRESS_SECONDS = 0.2


class Interrupts:
    """Tells a second request to stop from a repetition of the first.

    It takes no lock and allocates little, so a signal handler may use it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start without a request.

        Args:
            clock: Returns seconds that never go back.
        """
        self._clock = clock
        self._first: float | None = None

    def add(self) -> Literal["first", "same", "again"]:
        """Count a SIGINT.

        Returns:
            ``first``; ``same`` within 200 ms of the first, which is the same press; else ``again``.
        """
        now = self._clock()
        if self._first is None:
            self._first = now
            return "first"
        return "same" if now - self._first < SAME_PRESS_SECONDS else "again"
