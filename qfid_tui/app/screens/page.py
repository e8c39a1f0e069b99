"""A screen of one page of lines that scrolls, read in a thread and laid out anew at each width."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterable
from typing import ClassVar, Generic, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from qfid_tui.app.actions import help_keys
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.shown_text import TONES
from qfid_tui.app.widgets.key_bar import KeyBar

FoundT = TypeVar("FoundT")
# Both margins and the scroll bar.
_FRAME = 4


def page_bindings(name: str, back: str, *more: BindingType) -> list[BindingType]:
    """The keys of a page.

    Args:
        name: What the ids of the keys begin with.
        back: What the close key does, in words.
        more: Keys of the page's own.
    """
    return [
        Binding(
            "question_mark",
            "help",
            "Help",
            id=f"{name}.help",
            tooltip="Keys, and every number explained",
        ),
        *more,
        Binding("escape", "close", "Close", id=f"{name}.close", tooltip=back),
        Binding("j", "scroll(1)", "Down", show=False, id=f"{name}.down"),
        Binding("k", "scroll(-1)", "Up", show=False, id=f"{name}.up"),
    ]


def lines_of(lines: Iterable[Iterable[tuple[str, str]]]) -> Content:
    """Lines of parts, each a text and the name of its tone, as one content."""
    parts = (Content.assemble(*((text, TONES[tone]) for text, tone in line)) for line in lines)
    return Content("\n").join(parts)


class PageScreen(Screen[None], Generic[FoundT]):
    """A title, and one page that scrolls."""

    PAGE: ClassVar[str]
    """Id of the page; that of its title ends in ``-title``."""

    DEFAULT_CSS = """
    PageScreen .page-title {
        height: 1;
        padding: 0 1;
        text-style: bold;
    }
    PageScreen VerticalScroll {
        height: 1fr;
        padding: 0 1;
    }
    PageScreen .page {
        height: auto;
        text-wrap: nowrap;
    }
    """

    def __init__(self) -> None:
        super().__init__()
        self._found: FoundT | None = None

    @property
    def is_read(self) -> bool:
        """Whether what the page shows has been read."""
        return self._found is not None

    @abstractmethod
    def page_title(self) -> str:
        """The title of the page."""

    @abstractmethod
    def read(self) -> FoundT:
        """Read what the page shows; called in a thread."""

    @abstractmethod
    def page(self, found: FoundT, width: int) -> Content:
        """Lay out what was read.

        Args:
            found: What :meth:`read` gave.
            width: Cells of a line.
        """

    def compose(self) -> ComposeResult:
        """Title, and one page that scrolls."""
        yield Static(Content(self.page_title()), id=f"{self.PAGE}-title", classes="page-title")
        with VerticalScroll():
            yield Static(Content("reading …"), id=self.PAGE, classes="page")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read what the page shows."""
        self.query_one(VerticalScroll).focus()
        self._read()

    @work(exclusive=True)
    async def _read(self) -> None:
        self._found = await asyncio.to_thread(self.read)
        self._show()

    def on_resize(self) -> None:
        """Give the page the new width."""
        self._show()

    def _show(self) -> None:
        if self._found is not None:
            content = self.page(self._found, self.size.width - _FRAME)
            self.query_one(f"#{self.PAGE}", Static).update(content)

    def action_scroll(self, lines: int) -> None:
        """Move the page by some lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_help(self) -> None:
        """Explain the keys and the numbers."""
        self.app.push_screen(HelpScreen(help_keys(self)))

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
