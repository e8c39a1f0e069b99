"""What Textual's pilot waits for after each key: that nothing is left to do.

Its own wait is 20 ms or more before and after a key, and takes a process that gets no CPU time for
an idle one. It is left to what goes on beside the event loop: workers, and timers that tick once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from screen_at_rest import is_busy
from textual._context import active_app
from textual._wait import wait_for_idle as _until_no_cpu_time
from textual.screen import Screen

# As many paints that each make another one necessary are an animation, which takes its time.
_PAINTS = 20


async def until_idle(min_sleep: float = 0.02, max_sleep: float = 1.0) -> None:
    """In place of :func:`textual._wait.wait_for_idle`."""
    app = active_app.get()
    await _messages_handled(max_sleep)
    if app.screen_stack:
        # They hand over what they would paint to the screen on top.
        _paint(app._background_screens)
    for _ in range(_PAINTS):
        await _messages_handled(max_sleep)
        if not app.screen_stack or not _paint([app.screen]):
            break
    if is_busy(app):
        await _until_no_cpu_time(min_sleep, max_sleep)


async def _messages_handled(seconds: float) -> None:
    """Until the event loop has nothing to run now: every message has come to its end."""
    loop = asyncio.get_running_loop()
    ready: Any = loop._ready  # type: ignore[attr-defined]
    end = loop.time() + seconds
    await asyncio.sleep(0)
    while ready and loop.time() < end:
        await asyncio.sleep(0)


def _paint(screens: Sequence[Screen[Any]]) -> bool:
    """Paint what the timers of screens would paint next; whether there was something."""
    waiting = [screen for screen in screens if _is_to_paint(screen)]
    for screen in waiting:
        screen._on_timer_update()
    return bool(waiting)


def _is_to_paint(screen: Screen[Any]) -> bool:
    return not screen.app._batch_count and bool(
        screen._layout_required
        or screen._scroll_required
        or screen._repaint_required
        or screen._recompose_required
        or screen._dirty_widgets
        or screen._callbacks
    )
