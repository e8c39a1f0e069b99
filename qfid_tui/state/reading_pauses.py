"""Lets the app go on while a thread reads much. Standard library only."""

from __future__ import annotations

import time

# Threads take turns after 5 ms at the earliest, see sys.setswitchinterval: a key that needs many
# turns would wait for each of them.
_WORK, _PAUSE = 0.004, 0.001


class ReadingPauses:
    """Pauses of a thread that reads one small thing after the other."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def rest(self) -> None:
        """Pause, if the thread has worked for some milliseconds."""
        if time.monotonic() - self._begun > _WORK:
            time.sleep(_PAUSE)
            self._begun = time.monotonic()
