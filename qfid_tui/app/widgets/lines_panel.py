"""A bordered panel of styled lines that wrap, and scroll where they have no room."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from scorer.common.inert_text import inert

_STYLES = {
    "text": "$foreground",
    "strong": "$foreground bold",
    "muted": "$foreground 60%",
    "good": "$text-success bold",
    "marginal": "$text-warning bold",
    "bad": "$text-error bold",
    "warning": "$text-warning",
}

Line = Sequence[tuple[str, str]]
"""Parts of a line: text and the name of its style."""


def content_of(line: Line) -> Content:
    """A line of texts that are not inert yet."""
    return Content.assemble(*((inert(text), _STYLES[style]) for text, style in line))


class LinesPanel(VerticalScroll):
    """Lines about something."""

    ALLOW_MAXIMIZE = True
    DEFAULT_CSS = """
    LinesPanel {
        scrollbar-size-vertical: 1;
        padding: 0 0 0 1;
        & > Static { height: auto; }
        &.-maximized { width: 1fr; height: 1fr; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j", "scroll_down", "Down", id="lines.down", show=False, tooltip="A line down"),
        Binding("k", "scroll_up", "Up", id="lines.up", show=False, tooltip="A line up"),
    ]

    def __init__(self, title: str, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.border_title = Content(title)
        self._lines: Sequence[Line] = ()

    def compose(self) -> object:  # type: ignore[override]
        """The text."""
        yield Static(markup=False)

    def show(self, lines: Sequence[Line]) -> None:
        """Show lines; paints nothing if they are shown already."""
        if lines != self._lines:
            self._lines = lines
            self.query_one(Static).update(Content("\n").join(content_of(line) for line in lines))
