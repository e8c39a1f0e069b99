"""What the Pilot tests of the app share: an app without the user's folders, and a fake child."""

from __future__ import annotations

import asyncio
import functools
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cli_saved_runs import FAKE
from textual.pilot import Pilot

from qfid_tui.app.app import QfidApp
from qfid_tui.app.screens.workbench import WorkbenchScreen
from qfid_tui.state.choices import Choices

SIZES = ((80, 24), (140, 45))
DEADLINE = 60.0


def demo_choices(**changes: Any) -> Choices:
    """The demo model, four short chunks, 8 and 4 bits ticked."""
    choices = Choices(model="demo", ticked=[8, 4], chunk_length=128, max_chunks=4)
    for name, value in changes.items():
        setattr(choices, name, value)
    return choices


def fake_command(script: Path) -> tuple[str, ...]:
    """What starts :mod:`fake_scorer` on a script."""
    return sys.executable, str(FAKE), str(script)


async def until(pilot: Pilot[Any], true: Callable[[], bool], what: str = "") -> None:
    """Let the app work until something holds; fail after a deadline."""
    end = time.monotonic() + DEADLINE
    while not true():
        assert time.monotonic() < end, f"never: {what or true}"
        await pilot.pause(0.01)
    await pilot.pause()


@asynccontextmanager
async def running(
    choices: Choices | None = None,
    *,
    script: Path | None = None,
    size: tuple[int, int] = (80, 24),
    keep: bool = False,
) -> AsyncIterator[tuple[QfidApp, Pilot[Any]]]:
    """The app with its body mounted and its models read; its children gone at the end."""
    app = QfidApp(
        choices or Choices(),
        command=None if script is None else fake_command(script),
        probe=False,
        keep=keep,
    )
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: is_ready(app), "body and models")
        try:
            yield app, pilot
        finally:
            app.kill_children()
            await until(pilot, lambda: not app.comparison.is_active, "the child's end")


def is_ready(app: QfidApp) -> bool:
    """Whether the panels are there and the cache is read."""
    screen = app.workbench
    if not isinstance(screen, WorkbenchScreen) or not screen.is_filled:
        return False
    return screen.focused is not None and not screen.picker.is_reading


def screen_text(app: QfidApp) -> str:
    """What the screen shows, line by line; thin spaces as plain ones."""
    strips = app.screen._compositor.render_strips()
    lines = ("".join(segment.text for segment in strip) for strip in strips)
    return "\n".join(lines).replace("\u202f", " ")


def piloted(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Let pytest run a coroutine function, in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run
