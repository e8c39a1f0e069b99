"""A picture of the app is taken when it has come to rest, and does not depend on when that is.

Textual's own wait takes a process that gets no CPU time for an idle one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

from textual.app import App
from textual.pilot import Pilot
from textual.timer import Timer

# Seconds.
STEP = 0.05
DEADLINE_STEPS = 600
# What the app does at every fourth paint only is done too.
TICKS = 4


async def at_rest(pilot: Pilot[Any]) -> None:
    """Let the app work until no worker runs, no timer is due once and the screen stays as it is.

    Raises:
        AssertionError: It never does.
    """
    shown: object = None
    for _ in range(DEADLINE_STEPS):
        # Every message is handled and what is to be painted is painted, see pilot_waits.py.
        await pilot.pause()
        if is_busy(pilot.app):
            await pilot.pause(STEP)
            continue
        now = picture(pilot)
        if now == shown:
            return
        shown = now
    raise AssertionError("the screen never came to rest")


async def in_time(pilot: Pilot[Any]) -> None:
    """Let every timer that repeats tick, as it would on a slow machine before the picture.

    Raises:
        AssertionError: The picture is another then, or a notice is shown, which goes with time.
    """
    assert not pilot.app._notifications, "a notice stays for some seconds only"
    before = picture(pilot)
    for _ in range(TICKS):
        for node, timer in timers(pilot.app):
            if timer._repeat is None and timer._active.is_set() and timer._callback is not None:
                node.call_later(timer._callback)
        await pilot.pause()
    for _ in range(DEADLINE_STEPS):
        assert not pilot.app._notifications, "the picture depends on the time: a notice comes"
        if not is_busy(pilot.app):
            break
        await pilot.pause(STEP)
    await at_rest(pilot)
    assert picture(pilot) == before, "the picture depends on the time: a timer has changed it"


def picture(pilot: Pilot[Any]) -> list[list[Any]]:
    """What the screen shows now, with its colours: the segments of its lines."""
    return [list(strip) for strip in pilot.app.screen._compositor.render_strips()]


def is_busy(app: App[Any]) -> bool:
    """Whether a worker runs, something moves, or a timer that ticks once has not ticked."""
    if not app.animator._complete_event.is_set():
        return True
    once = (timer for _, timer in timers(app) if timer._repeat is not None)
    return any(not worker.is_finished for worker in app.workers) or any(
        timer._task is not None and not timer._task.done() for timer in once
    )


def timers(app: App[Any]) -> Iterator[tuple[Any, Timer]]:
    """The timers of the app and of everything on its screens."""
    nodes: list[Any] = [app]
    for screen in app.screen_stack:
        nodes += screen.walk_children(with_self=True)
    return ((node, timer) for node in nodes for timer in list(node._timers))


def rested(before: Callable[[Pilot[Any]], Any] | None) -> Callable[[Pilot[Any]], Any]:
    """What is done before a picture is taken, and then the wait."""

    async def run(pilot: Pilot[Any]) -> None:
        done = None if before is None else before(pilot)
        if inspect.isawaitable(done):
            await done
        await at_rest(pilot)
        await in_time(pilot)

    return run
