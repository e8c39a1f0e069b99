"""What all charts of the app share: drawing by lines, a cursor over the items, the title."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.strip import Strip
from textual.widget import Widget

from qfid_tui.pictures.canvas import ROLES, Canvas, Picture, Role, fitted
from scorer.common.inert_text import inert


class Chart(Widget, can_focus=True):
    """A picture that is drawn again only when its data, its size or its cursor changes.

    The title and, at the foot, a summary or the item under the cursor stand in the border; without
    a border they take the first line.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {f"chart--{role}" for role in ROLES}
    DEFAULT_CSS = """
    Chart {
        height: 1fr;
        width: 1fr;
        border-title-color: $foreground;
        border-subtitle-color: $foreground;
        & > .chart--text { color: $foreground; }
        & > .chart--axis { color: $text-muted; }
        & > .chart--guide { color: $text-disabled; }
        & > .chart--line { color: $text-muted; }
        & > .chart--bar { color: $primary; }
        & > .chart--cursor { color: $text-accent; text-style: bold; }
        & > .chart--good { color: $text-success; text-style: bold; }
        & > .chart--marginal { color: $text-warning; text-style: bold; }
        & > .chart--bad { color: $text-error; text-style: bold; }
        & > .chart--earlier { color: $text-muted; }
        & > .chart--other { color: $text-warning; text-style: bold; }
        &.-maximized { width: 1fr; height: 1fr; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "left,h",
            "move(-1)",
            "previous",
            id="chart.previous",
            show=False,
            tooltip="Move to the value on the left and read it",
        ),
        Binding(
            "right,l",
            "move(1)",
            "next",
            id="chart.next",
            show=False,
            tooltip="Move to the value on the right and read it",
        ),
        Binding(
            "home",
            "move_to_end(0)",
            "first",
            id="chart.first",
            show=False,
            tooltip="Move to the first value and read it",
        ),
        Binding(
            "end",
            "move_to_end(-1)",
            "last",
            id="chart.last",
            show=False,
            tooltip="Move to the last value and read it",
        ),
    ]
    EMPTY: ClassVar[str] = "nothing to show yet"
    """What stands there while there is no data."""

    def __init__(
        self,
        *,
        empty: str | None = None,
        name: str | None = None,
        id: str | None = None,
        classes: str | None = None,
    ) -> None:
        """As for any widget.

        Args:
            empty: What stands there while there is no data; None for ``EMPTY``.
            name: As for any widget.
            id: As for any widget.
            classes: As for any widget.
        """
        super().__init__(name=name, id=id, classes=classes)
        self._empty = self.EMPTY if empty is None else empty
        self._cursor: int | None = None
        self._titled = False
        self._styles: dict[Role, Style] = {}
        self._drawn: tuple[tuple[int, int, bool], Picture] | None = None

    def say_when_empty(self, text: str) -> None:
        """Set what stands there while there is no data."""
        if text != self._empty:
            self._empty = text
            self._redraw()

    @abstractmethod
    def heading(self) -> str:
        """What is drawn, with its unit."""

    @abstractmethod
    def summary(self) -> str:
        """What the values say in words; one line."""

    @abstractmethod
    def readings(self) -> Sequence[str]:
        """Every item in words, in the order the cursor visits them."""

    @abstractmethod
    def draw(self, width: int, height: int, cursor: int | None) -> Picture:
        """The picture without its title.

        Args:
            width: Cells, at least 1.
            height: Lines, at least 1.
            cursor: Index of the item under the cursor.
        """

    @property
    def cursor(self) -> int | None:
        """The item that is read out; None before one is chosen."""
        return self._cursor

    def changed(self) -> None:
        """Draw again: the data are new. The cursor stays where its item still exists."""
        if self._cursor is not None and self._cursor >= len(self.readings()):
            self._cursor = None
        self._redraw()

    def action_move(self, by: int) -> None:
        """Move the cursor, from either end at first."""
        count = len(self.readings())
        if count:
            start = (-1 if by > 0 else count) if self._cursor is None else self._cursor
            self._cursor = min(max(start + by, 0), count - 1)
            self._redraw()

    def action_move_to_end(self, index: int) -> None:
        """Put the cursor on the first (0) or the last item (-1)."""
        if count := len(self.readings()):
            self._cursor = index % count
            self._redraw()

    def on_click(self, event: events.Click) -> None:
        """Put the cursor on what was clicked."""
        offset = event.get_content_offset(self)
        if offset is not None and self.readings():
            picture = self._picture()
            head = self.content_size.height - picture.canvas.height
            found = picture.nearest(offset.x, offset.y - head)
            if found is not None:
                self._cursor = found
                self._redraw()

    def render_line(self, y: int) -> Strip:
        """One line of the picture."""
        width = self.content_size.width
        if not width:
            return Strip.blank(0)
        picture = self._picture()
        head = self.content_size.height - picture.canvas.height
        if y < head:
            return Strip([Segment(self._first_line(width), self._style("text"))], width)
        runs = picture.canvas.runs(y - head)
        return Strip([Segment(text, self._style(role)) for text, role in runs], width)

    def _style(self, role: Role) -> Style:
        style = self._styles.get(role)
        if style is None:
            style = self._styles[role] = self.get_component_rich_style(f"chart--{role}")
        return style

    def notify_style_update(self) -> None:
        """Forget the colours of before."""
        super().notify_style_update()
        self._styles.clear()

    def on_mount(self) -> None:
        """Put the title into the border."""
        self._redraw()

    def on_resize(self) -> None:
        """What has room, and so what the summary says, may be another."""
        self._redraw()

    @property
    def _framed(self) -> bool:
        return bool(self.styles.border_top[0])

    def _redraw(self) -> None:
        self._drawn = None
        self._titled = self._framed
        if self.is_attached and self._framed:
            self.border_title = Content(inert(self.heading()))
            self.border_subtitle = Content(inert(self._foot()))
        self.refresh()

    def _foot(self) -> str:
        readings = self.readings()
        if self._cursor is not None:
            return f"▲ {readings[self._cursor]}"
        return self.summary() if readings else ""

    def _first_line(self, width: int) -> str:
        heading, foot = self.heading(), self._foot()
        room = width - len(heading) - 2
        if foot and room >= len(foot):
            line = f"{heading}{' ' * (room + 2 - len(foot))}{foot}"
        else:
            line = heading if self._cursor is None else foot
        shown = fitted(line, width)
        return shown + " " * (width - len(shown))

    def _picture(self) -> Picture:
        width, height = self.content_size
        key = (width, height, self._framed)
        if self._titled != self._framed:
            # The border came or went; its title cannot be set while a line is drawn.
            self._titled = self._framed
            self.call_after_refresh(self._redraw)
        if self._drawn is None or self._drawn[0] != key:
            head = 0 if self._framed or height < 4 else 1
            self._drawn = key, self._filled(max(width, 1), max(height - head, 1))
        return self._drawn[1]

    def _filled(self, width: int, height: int) -> Picture:
        if self.readings():
            return self.draw(width, height, self._cursor)
        canvas = Canvas(width, height)
        line = fitted(self._empty, width)
        canvas.write((width - len(line)) // 2, (height - 1) // 2, line, "axis")
        return Picture(canvas)
