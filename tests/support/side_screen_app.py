"""A small app that stands behind the side screens in their tests."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from io import StringIO
from typing import Any, ClassVar

from rich.console import Console
from rich.table import Table
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Footer, Static

from qfid_tui.app.palette import QfidCommands
from qfid_tui.app.widgets.key_bar import KeyBar

PATIENCE = 20.0
UNSET = object()


class Below(App[None]):
    """Shows one screen over a page of text and keeps what it was dismissed with."""

    ENABLE_COMMAND_PALETTE = True
    COMMANDS = App.COMMANDS | {QfidCommands}
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "quit", "Quit", id="app.quit", tooltip="Leave"),
        Binding("b", "bell", "Bell", show=False, id="app.ring", tooltip="Ring [the/] bell"),
    ]

    def __init__(self, make: Callable[[App[Any]], Screen[Any]], theme: str = "textual-dark"):
        super().__init__()
        self.animation_level = "none"
        self.theme = theme
        self.make = make
        self.result: Any = UNSET
        self.copied: list[str] = []
        self.rung = 0

    def compose(self) -> ComposeResult:
        yield Static("\n".join(["the screen behind"] * 20), markup=False)
        yield Footer()

    def on_mount(self) -> None:
        # First the screen behind is painted: pictures are taken of it.
        self.call_after_refresh(lambda: self.push_screen(self.make(self), self.keep))

    def keep(self, result: Any) -> None:
        self.result = result

    def copy_to_clipboard(self, text: str) -> None:
        super().copy_to_clipboard(text)
        self.copied.append(text)

    def action_bell(self) -> None:
        self.rung += 1

    @property
    def done(self) -> bool:
        return self.result is not UNSET


Steps = Callable[[Below, Pilot[None]], Awaitable[None]]


def drive(
    make: Callable[[App[Any]], Screen[Any]] | Screen[Any],
    steps: Steps,
    *,
    size: tuple[int, int] = (80, 24),
    theme: str = "textual-dark",
) -> Below:
    """Run the app with a screen, take the steps, and return the app after it has ended."""

    async def run() -> Below:
        app = Below(
            make if callable(make) and not isinstance(make, Screen) else lambda _: make, theme
        )
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: len(app.screen_stack) > 1)
            await steps(app, pilot)
        return app

    return asyncio.run(run())


async def until(pilot: Pilot[Any], predicate: Callable[[], bool]) -> None:
    """Let the app work until something is so."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while not predicate():
        assert loop.time() < end, "it never came to be so"
        await pilot.pause(0.01)
    await pilot.pause()


def text_of(app: App[Any], selector: str) -> str:
    """What a Static of the screen on top says."""
    content = app.screen.query_one(selector, Static).content
    if not isinstance(content, Table):
        return str(content)
    console = Console(width=400, file=StringIO())
    with console.capture() as captured:
        console.print(content)
    return captured.get()


def footer_width(app: App[Any]) -> int:
    """Columns that the footer of the screen on top would take."""
    return app.screen.query_one(KeyBar).wanted
