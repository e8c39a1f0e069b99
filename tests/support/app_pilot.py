"""What the Pilot tests of the app share: an app without the user's folders, and a fake child."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from cli_saved_runs import FAKE
from deadline import DEADLINE
from textual.pilot import Pilot

from qfid_tui.app.app import QfidApp
from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.workbench_changes import comparison_changed, with_comparison

SIZES = ((80, 24), (140, 45))


def demo_choices(**changes: Any) -> Choices:
    """The demo model, four short chunks, 8 and 4 bits ticked."""
    choices = Choices(model="demo", ticked=(8, 4), chunk_length=128, max_chunks=4)
    return dataclasses.replace(choices, **changes)


def choose(app: QfidApp, **changes: Any) -> None:
    """Change choices of a running app, as if the user had."""
    state = app.workbench.state
    app.workbench.update(state.changed(choices=dataclasses.replace(state.choices, **changes)))


def compare(app: QfidApp, comparison: Comparison) -> None:
    """Show a comparison in a running app."""
    app.workbench.update(with_comparison(app.workbench.state, comparison))


def show_news(app: QfidApp) -> None:
    """Paint what a test has changed in the comparison on the screen."""
    app.comparison.version += 1
    app.workbench.update(comparison_changed(app.workbench.state))


async def painted(app: QfidApp, pilot: Pilot[Any], *words: str) -> str:
    """What the screen shows as soon as it shows all of some words."""
    await until(pilot, lambda: all(word in screen_text(app) for word in words), f"painted: {words}")
    return screen_text(app)


def fake_command(script: Path) -> tuple[str, ...]:
    """What starts :mod:`fake_scorer` on a script."""
    return sys.executable, str(FAKE), str(script)


async def until(pilot: Pilot[Any], true: Callable[[], bool], what: str = "") -> None:
    """Let the app work until something holds; fail after a deadline."""
    end = time.monotonic() + DEADLINE
    wait = 0.01
    while not true():
        assert time.monotonic() < end, f"never: {what or true}"
        await pilot.pause(wait)
        # Where it takes long, to look more seldom leaves the processor to what is waited for.
        wait = min(1.2 * wait, 0.05)
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
    """Whether the panels are there, and the cache and the weights to compare with are read."""
    screen = app.workbench
    if not screen.is_filled or screen.focused is None or screen.picker.is_reading:
        return False
    return screen.state.model is None or screen.state.offer is not None


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
