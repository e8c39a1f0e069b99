"""Notices that the terminal is gone: its window was closed, or the connection to it broke.

Textual's thread that writes dies with the terminal, and its main thread then waits for ever for
room in that thread's queue: nothing but a thread of our own can still act.
"""

from __future__ import annotations

import select
import termios
import threading
from collections.abc import Callable


def when_closed(descriptor: int, act: Callable[[], object]) -> None:
    """Run ``act`` in a thread once the terminal behind a descriptor is gone.

    Costs nothing meanwhile. A signal may not come: under ``nohup``, or in a session of another's.
    """
    threading.Thread(
        target=_wait, args=(descriptor, act), name="closed-terminal", daemon=True
    ).start()


def _wait(descriptor: int, act: Callable[[], object]) -> None:
    poller = select.poll()
    # No option selects a hang-up: `poll` always reports it.
    poller.register(descriptor, 0)
    poller.poll()
    # Some systems cannot poll a terminal and return at once.
    if is_closed(descriptor):
        act()


def is_closed(descriptor: int) -> bool:
    """Whether the terminal behind a descriptor is gone."""
    try:
        termios.tcgetattr(descriptor)
    except (termios.error, OSError, ValueError):
        return True
    return False
