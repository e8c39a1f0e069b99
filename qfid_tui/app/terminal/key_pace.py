"""Lets a key act before the next one is passed on, where several come at once.

Textual sends a key to the widget that has the focus when the key comes out of the app's queue. One
that is bound goes up to the app again before it acts. So of `/` and `a` that come in one read, as
over a slow line, the `a` went to the list while the `/` had still to open its field: it pressed a
key of the list.
"""

from __future__ import annotations

import asyncio
import contextlib
from concurrent import futures
from typing import Any

from textual.app import App, ScreenStackError
from textual.events import Key
from textual.message import Message

# Keys that come after one another in less than this may not have acted yet.
_TOGETHER_SECONDS = 0.02
# No key waits longer: it may be what an action waits for.
_MOST_SECONDS = 0.3
# Turns of the loop in which no queue held anything.
_QUIET_TURNS = 4


class KeyPace:
    """Holds keys back in the thread that reads the terminal.

    Args:
        app: The app.
        loop: Its loop.
    """

    def __init__(self, app: App[Any], loop: asyncio.AbstractEventLoop) -> None:
        self._app, self._loop = app, loop
        self._last: float | None = None

    def wait(self, message: Message, now: float) -> None:
        """Wait until the key before has acted, if a message is a key that comes right after it.

        A character that a field takes acts at once: nothing is held back behind it.

        Args:
            message: What is passed on next.
            now: When it was read, seconds of a monotonic clock.
        """
        if not isinstance(message, Key):
            return
        if self._last is not None and now - self._last <= _TOGETHER_SECONDS:
            self._wait()
        self._last = None if self._is_typed(message) else now

    def _wait(self) -> None:
        waiting = until_acted(self._app)
        try:
            acted = asyncio.run_coroutine_threadsafe(waiting, self._loop)
        except RuntimeError:
            # The app has ended.
            waiting.close()
            return
        try:
            acted.result(_MOST_SECONDS)
        except (futures.TimeoutError, futures.CancelledError, ScreenStackError):
            acted.cancel()

    def _is_typed(self, key: Key) -> bool:
        """Whether the focus is where a key is a character of a text."""
        with contextlib.suppress(ScreenStackError):
            focused = self._app.focused
            return focused is not None and focused.check_consume_key(key.key, key.character)
        return False


async def until_acted(app: App[Any]) -> None:
    """Wait until nothing is left in the queues that a key goes through, and a new screen is there.

    Args:
        app: The app.
    """
    quiet = 0
    while quiet < _QUIET_TURNS:
        await asyncio.sleep(0)
        screen = app.screen
        pumps = [app, screen, *([] if app.focused is None else app.focused.ancestors_with_self)]
        is_quiet = screen.is_mounted and not any(pump.message_queue_size for pump in pumps)
        quiet = quiet + 1 if is_quiet else 0
