"""The inspector in an app of its own, and a coroutine test in a loop of its own."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from app_pilot import until
from textual.app import App
from textual.pilot import Pilot

from qfid_tui.app.screens.inspector import InspectorScreen
from qfid_tui.app.widgets.token_panel import TokenPanel
from qfid_tui.app.widgets.token_text import TokenText
from qfid_tui.state.token_view import TokenView

RUN = "20261124-200122-demo-06e8"
"""The id of the run that is inspected: snapshots show it."""

Test = Callable[..., Coroutine[Any, Any, None]]


def driven(test: Test) -> Callable[..., None]:
    """Run a coroutine test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Inspecting(App[None]):
    def __init__(self, run: str = RUN, setting: str = "4", **more: Any) -> None:
        super().__init__()
        self._theme = more.pop("theme", "textual-dark")
        self._inspector = InspectorScreen(run, setting, **more)

    def on_mount(self) -> None:
        self.theme = self._theme
        self.push_screen(self._inspector)

    @property
    def inspector(self) -> InspectorScreen:
        return self._inspector

    @property
    def text(self) -> TokenText:
        return self._inspector.query_one(TokenText)

    @property
    def view(self) -> TokenView:
        assert self._inspector._view is not None
        return self._inspector._view

    def panel(self) -> str:
        return "\n".join(
            self._inspector.query_one(TokenPanel).render_line(y).text for y in range(24)
        )

    def ready(self) -> bool:
        return self._inspector.has_class("-ready")


async def opened(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, Inspecting)
    await until(pilot, app.ready, "the run is read")
