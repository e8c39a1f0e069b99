"""A list of rows with a cursor, drawn line by line: what the workbench's panels are made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

Part = tuple[str, str]
"""Text, made inert already, and the name of its style: a component class without its prefix."""

_ELLIPSIS = "…"


def fitted(text: str, width: int, *, right: bool = False) -> str:
    """Text in exactly so many cells, cut with an ellipsis, padded on the other side."""
    length = cell_len(text)
    if length > width:
        text = set_cell_size(text, max(0, width - 1)) + _ELLIPSIS if width > 0 else ""
        return text
    pad = " " * (width - length)
    return pad + text if right else text + pad


def cell(text: str, width: int) -> str:
    """A text in a column: at the left, with a gap behind it. 0 cells for a column left out."""
    return fitted(text, width - 1) + " " if width > 0 else ""


def number_cell(text: str, width: int) -> str:
    """A number in a column: at the right, with a gap before it. 0 cells for a column left out."""
    return " " + fitted(text, width - 1, right=True) if width > 0 else ""


class Rows(ScrollView, can_focus=True):
    """Rows of equal height under fixed head lines; arrows and hjkl move, a click moves too.

    Subclasses say how many rows there are and what a line of one shows. The highlighted row
    bears a sign besides its colour. It is always in view: the view follows the cursor, and the
    cursor follows a view that the mouse scrolls. Enter never takes a row that nobody sees.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "rows--text",
        "rows--muted",
        "rows--strong",
        "rows--head",
        "rows--cursor",
        "rows--good",
        "rows--marginal",
        "rows--bad",
        "rows--warning",
    }
    DEFAULT_CSS = """
    Rows {
        height: 1fr;
        background: $surface;
        overflow-x: hidden;
        scrollbar-size-vertical: 1;
        & > .rows--text { color: $foreground; }
        & > .rows--muted { text-style: dim; }
        & > .rows--strong { text-style: bold; }
        & > .rows--head { text-style: bold dim; }
        & > .rows--cursor { background: $panel; }
        & > .rows--good { color: $text-success; text-style: bold; }
        & > .rows--marginal { color: $text-warning; }
        & > .rows--bad { color: $text-error; text-style: bold; }
        & > .rows--warning { color: $text-warning; }
        &:focus > .rows--cursor { background: $primary-muted; }
        &:nocolor:focus > .rows--cursor { text-style: reverse; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)", "Up", show=False, id="rows.up", tooltip="The row above"),
        Binding("down,j", "move(1)", "Down", show=False, id="rows.down", tooltip="The row below"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="rows.page_up", tooltip="A page"),
        Binding(
            "pagedown", "page(1)", "Page down", show=False, id="rows.page_down", tooltip="A page"
        ),
        Binding("home,g", "move(-1000000)", "Top", show=False, id="rows.top", tooltip="First row"),
        Binding(
            "end,G", "move(1000000)", "Bottom", show=False, id="rows.bottom", tooltip="Last row"
        ),
    ]
    HEAD = 0
    """Lines above the rows that do not scroll."""

    class Moved(Message):
        """The cursor is on another row."""

        def __init__(self, rows: Rows, index: int) -> None:
            super().__init__()
            self.rows, self.index = rows, index

        @property
        def control(self) -> Rows:
            """The widget."""
            return self.rows

    class Pressed(Message):
        """A row was clicked that had the cursor already, or enter was pressed on it."""

        def __init__(self, rows: Rows, index: int) -> None:
            super().__init__()
            self.rows, self.index = rows, index

        @property
        def control(self) -> Rows:
            """The widget."""
            return self.rows

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.cursor = 0
        # What the view was fitted to: a change of any of them can put the cursor out of it.
        self._fitted = (0, 0, 0, 0)
        self._by_mouse = False
        self._styles: dict[tuple[str, bool], Style] = {}

    def row_count(self) -> int:
        """Rows there are."""
        raise NotImplementedError

    def row_height(self) -> int:
        """Lines of a row."""
        return 1

    def head_line(self, line: int, width: int) -> Iterable[Part]:
        """What a head line shows."""
        return ()

    def row_line(self, index: int, line: int, width: int) -> Iterable[Part]:
        """What a line of a row shows; may be shorter or longer than ``width`` cells."""
        raise NotImplementedError

    def empty_line(self, line: int) -> str:
        """What a line shows where there is no row."""
        return ""

    def rows_changed(self) -> None:
        """Fit the scrollable size, the cursor and the view to the rows, and paint."""
        self._by_mouse = False
        height = self.HEAD + self.row_count() * self.row_height()
        size = Size(self.scrollable_content_region.width, height)
        if self.virtual_size != size:
            self.virtual_size = size
        last = max(0, self.row_count() - 1)
        if self.cursor > last:
            self.move_to(last)
        if self._fitted != self._fitted_now():
            self._show_cursor()
        self.refresh()

    def _fitted_now(self) -> tuple[int, int, int, int]:
        return self.cursor, self.row_count(), self.row_height(), self.size.height

    def on_resize(self) -> None:
        """A height that depends on the room changes with it."""
        self.rows_changed()
        self._show_cursor()

    def on_mouse_scroll_down(self) -> None:
        """The wheel scrolls the view."""
        self._by_mouse = True

    def on_mouse_scroll_up(self) -> None:
        """The wheel scrolls the view."""
        self._by_mouse = True

    def on_scroll_to(self) -> None:
        """The bar is dragged."""
        self._by_mouse = True

    def on_scroll_down(self) -> None:
        """The bar is clicked below its handle."""
        self._by_mouse = True

    def on_scroll_up(self) -> None:
        """The bar is clicked above its handle."""
        self._by_mouse = True

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Keep the cursor in a view that the mouse has scrolled."""
        super().watch_scroll_y(old_value, new_value)
        height, top = self.row_height(), round(new_value)
        room = self.size.height - self.HEAD
        if not self._by_mouse or room < height:
            return
        first, last = -(-top // height), (top + room) // height - 1
        self.move_to(min(max(self.cursor, first), max(first, last)))
        self._by_mouse = True

    def move_to(self, index: int) -> None:
        """Put the cursor on a row and scroll it into view."""
        index = min(max(0, index), max(0, self.row_count() - 1))
        if index != self.cursor:
            before, self.cursor = self.cursor, index
            self.post_message(self.Moved(self, index))
            height = self.row_height()
            for touched in (before, index):
                self.refresh_lines(self.HEAD + touched * height, height)
        self._show_cursor()

    def _show_cursor(self) -> None:
        self._by_mouse = False
        self._fitted = self._fitted_now()
        height = self.row_height()
        top = self.HEAD + self.cursor * height
        # The head covers the first lines of what is in view.
        self.scroll_to_region(
            Region(0, top - self.HEAD, 1, height + self.HEAD), animate=False, force=True
        )

    def action_move(self, rows: int) -> None:
        """Move the cursor by so many rows."""
        self.move_to(self.cursor + rows)

    def action_page(self, pages: int) -> None:
        """Move the cursor by a page."""
        page = max(1, (self.size.height - self.HEAD) // self.row_height())
        self.move_to(self.cursor + pages * page)

    def row_at(self, y: int) -> int | None:
        """The row on a line of the widget's content, or None."""
        if y < self.HEAD:
            return None
        index = (y - self.HEAD + self.scroll_offset.y) // self.row_height()
        return index if index < self.row_count() else None

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the row, or press it where the cursor is there already."""
        offset = event.get_content_offset(self)
        index = None if offset is None else self.row_at(offset.y)
        if index is None or offset is None:
            return
        if index == self.cursor:
            self.pressed_at(index, offset.x)
        else:
            self.move_to(index)

    def pressed_at(self, index: int, x: int) -> None:
        """The row with the cursor was clicked at a column."""
        self.post_message(self.Pressed(self, index))

    def render_line(self, y: int) -> Strip:
        """One line: of the head, of a row, or of what an empty list says."""
        width = self.scrollable_content_region.width
        if y < self.HEAD:
            return self._strip(self.head_line(y, width), width)
        if self.row_count() == 0:
            text = self.empty_line(y - self.HEAD)
            return self._strip([(fitted(f" {text}", width), "muted")], width)
        index, line = divmod(y - self.HEAD + self.scroll_offset.y, self.row_height())
        if index >= self.row_count():
            return self._strip((), width)
        return self._strip(self.row_line(index, line, width), width, index == self.cursor)

    def _strip(self, parts: Iterable[Part], width: int, at_cursor: bool = False) -> Strip:
        segments = [Segment(text, self._style(name, at_cursor)) for text, name in parts if text]
        return Strip(segments).adjust_cell_length(width, self._style("", at_cursor))

    def _style(self, name: str, at_cursor: bool) -> Style:
        """The style of a component class on the background of its row; "" for that alone."""
        style = self._styles.get((name, at_cursor))
        if style is None:
            style = self.rich_style
            for part in (("cursor",) if at_cursor else ()) + ((name,) if name else ()):
                style += self.get_component_rich_style(f"rows--{part}", partial=True)
            self._styles[name, at_cursor] = style
        return style

    def notify_style_update(self) -> None:
        """Forget the colours of before."""
        super().notify_style_update()
        self._styles.clear()
