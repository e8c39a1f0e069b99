"""A picture of the app is taken when it has come to rest, not when the machine had no time for it.

Textual's own wait takes a process that gets no CPU time for an idle one.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from textual.pilot import Pilot

# Seconds; some turns of the loop, and together longer than the time between two paints.
STEP = 0.05
STEPS_AT_REST = 3
DEADLINE_STEPS = 600


async def at_rest(pilot: Pilot[Any]) -> None:
    """Let the app work until its screen stays as it is.

    Raises:
        AssertionError: It never does.
    """
    shown: object = None
    same = 0
    for _ in range(DEADLINE_STEPS):
        await pilot.pause(STEP)
        now = [list(strip) for strip in pilot.app.screen._compositor.render_strips()]
        shown, same = now, same + 1 if now == shown else 0
        if same >= STEPS_AT_REST:
            return
    raise AssertionError("the screen never came to rest")


def rested(before: Callable[[Pilot[Any]], Any] | None) -> Callable[[Pilot[Any]], Any]:
    """What is done before a picture is taken, and then the wait."""

    async def run(pilot: Pilot[Any]) -> None:
        done = None if before is None else before(pilot)
        if inspect.isawaitable(done):
            await done
        await at_rest(pilot)

    return run
