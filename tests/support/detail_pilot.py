"""The detail screen in an app of its own."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from saved_setting_runs import saved_run
from textual.app import App
from textual.pilot import Pilot
from textual.widget import Widget

from qfid_tui.app.screens.detail import DetailScreen
from qfid_tui.app.widgets.chunk_chart import ChunkChart
from qfid_tui.state.workbench import RunSoFar
from scorer.common.folders import runs_folder


def driven(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Detail(App[None]):
    def __init__(self, theme: str = "textual-dark", run: str = "", setting: str = "4") -> None:
        super().__init__()
        self._wanted, self._run_id, self._first = theme, run, setting
        self.so_far: RunSoFar | None = None

    def on_mount(self) -> None:
        self.theme = self._wanted
        screen = DetailScreen(
            self._run_id,
            self._first,
            settings=("8", "6", "4", "2"),
            so_far=lambda: self.so_far,
        )
        self.push_screen(screen, lambda _: self.exit())


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            await pilot.pause()
            return
        await pilot.pause(0.01)
    raise AssertionError("it did not come")


def screen_of(app: App[None]) -> DetailScreen:
    assert isinstance(app.screen, DetailScreen)
    return app.screen


def lines(widget: Widget) -> list[str]:
    return [widget.render_line(y).text for y in range(widget.content_size.height)]


def loaded(app: App[None], setting: str = "4") -> Callable[[], bool]:
    def holds() -> bool:
        found = app.screen.query(ChunkChart)
        return bool(found) and any(f"setting {setting}" in c.heading() for c in found)

    return holds


_files: dict[str, bytes] = {}


def saved_detail() -> str:
    """A run with a fixed id: the title of the screen names it. It is made once and copied."""
    fixed = runs_folder() / "20261124-200122-demo-06e8"
    if not _files:
        saved_run().path.rename(fixed)
        _files.update({path.name: path.read_bytes() for path in fixed.iterdir()})
        return fixed.name
    fixed.mkdir(parents=True)
    for name, data in _files.items():
        (fixed / name).write_bytes(data)
    return fixed.name


def compared(app: App[None], names: str) -> Callable[[], bool]:
    return lambda: names in app.screen.query_one(ChunkChart).heading()
