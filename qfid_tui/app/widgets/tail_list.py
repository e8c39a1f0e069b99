"""The positions with the largest KL, a line each: where, in which text, what both models wanted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from qfid_tui.pictures.bars import value_text
from qfid_tui.pictures.canvas import cells_of, fitted

if TYPE_CHECKING:
    from qfid_tui.state.setting_detail import TailPosition, WantedToken

_KL, _CHUNK, _POSITION, _WANTED = 7, 6, 6, 20
_NARROW_WANTED = 15
_NARROW = 100


class TailList(ScrollView, can_focus=True):
    """Lines of the largest positions under a head that stays; the cursor picks one."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "tail--head",
        "tail--text",
        "tail--token",
        "tail--flip",
        "tail--cursor",
    }
    DEFAULT_CSS = """
    TailList {
        height: 1fr;
        width: 1fr;
        overflow-x: hidden;
        overflow-y: auto;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        & > .tail--head { color: $text-muted; text-style: bold; }
        & > .tail--text { color: $text-muted; }
        & > .tail--token { color: $foreground; text-style: bold; }
        & > .tail--flip { color: $text-error; }
        & > .tail--cursor { background: $block-cursor-blurred-background; }
        &:focus > .tail--cursor {
            background: $block-cursor-background;
            color: $block-cursor-foreground;
        }
        &.-maximized { width: 1fr; height: 1fr; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "up,k",
            "move(-1)",
            "up",
            id="tail.up",
            show=False,
            tooltip="Move to the position with the next larger KL",
        ),
        Binding(
            "down,j",
            "move(1)",
            "down",
            id="tail.down",
            show=False,
            tooltip="Move to the position with the next smaller KL",
        ),
        Binding(
            "pageup",
            "move(-10)",
            "page up",
            id="tail.page_up",
            show=False,
            tooltip="Move ten positions up",
        ),
        Binding(
            "pagedown",
            "move(10)",
            "page down",
            id="tail.page_down",
            show=False,
            tooltip="Move ten positions down",
        ),
        Binding(
            "home",
            "move(-1000000)",
            "first",
            id="tail.first",
            show=False,
            tooltip="Move to the position with the largest KL",
        ),
        Binding(
            "end",
            "move(1000000)",
            "last",
            id="tail.last",
            show=False,
            tooltip="Move to the last position that is listed",
        ),
    ]

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        """As for any widget."""
        super().__init__(id=id, classes=classes)
        self._rows: tuple[TailPosition, ...] = ()
        self._cursor = 0

    def show(self, rows: Sequence[TailPosition]) -> None:
        """Show positions, the one with the largest KL first; the cursor stays on its own."""
        picked, top = self.picked, self.scroll_offset.y
        places = {(row.chunk, row.position): i for i, row in enumerate(rows)}
        at = 0 if picked is None else places.get((picked.chunk, picked.position), 0)
        old, self._cursor = self._cursor, at if self._cursor else 0
        self._rows = tuple(rows)
        self._measure()
        # It keeps its line on the screen.
        self.scroll_to(y=max(0, top + self._cursor - old), animate=False)
        self._follow(self._cursor)
        self.refresh()

    @property
    def picked(self) -> TailPosition | None:
        """The position under the cursor."""
        return self._rows[self._cursor] if self._rows else None

    def action_move(self, by: int) -> None:
        """Move the cursor by so many lines, as far as there are any."""
        if self._rows:
            old = self._cursor
            self._cursor = min(max(old + by, 0), len(self._rows) - 1)
            self._follow(old)

    def on_click(self, event: events.Click) -> None:
        """Pick the line that was clicked."""
        offset = event.get_content_offset(self)
        if offset is not None and offset.y > 0:
            row = offset.y - 1 + self.scroll_offset.y
            if row < len(self._rows):
                old, self._cursor = self._cursor, row
                self._follow(old)

    def on_resize(self) -> None:
        """Keep the cursor in sight."""
        self._measure()
        self._follow(self._cursor)

    def render_line(self, y: int) -> Strip:
        """The head, or one position."""
        width = self.scrollable_content_region.width
        if y == 0:
            return self._line([(self._head(width), "tail--head")], width)
        row = y - 1 + self.scroll_offset.y
        if row < len(self._rows):
            return self._line(self._cells(self._rows[row], width), width, row == self._cursor)
        return Strip.blank(width, self.rich_style)

    def _measure(self) -> None:
        self.virtual_size = Size(self.scrollable_content_region.width, len(self._rows) + 1)

    def _follow(self, old: int) -> None:
        top, rows = self.scroll_offset.y, max(self.scrollable_content_region.height - 1, 1)
        if self._cursor < top:
            self.scroll_to(y=self._cursor, animate=False)
        elif self._cursor >= top + rows:
            self.scroll_to(y=self._cursor - rows + 1, animate=False)
        width = self.content_size.width
        for row in (old, self._cursor):
            self.refresh(Region(0, row + 1 - self.scroll_offset.y, width, 1))

    def _line(self, cells: Sequence[tuple[str, str]], width: int, cursor: bool = False) -> Strip:
        segments = [
            Segment(text, self.get_component_rich_style(name, partial=cursor))
            for text, name in cells
        ]
        strip = Strip(segments).adjust_cell_length(width, self.rich_style)
        if cursor:
            strip = Strip(
                Segment.apply_style(strip, None, self.get_component_rich_style("tail--cursor")),
                width,
            )
        return strip

    def _head(self, width: int) -> str:
        wanted, text = _widths(width)
        head = f"{'KL nats':>{_KL}}{'chunk':>{_CHUNK}}{'pos':>{_POSITION}} "
        head += f" {_padded('▸next token◂ in its text', text)}"
        return head + "".join(f" {_padded(name, wanted)}" for name in ("reference", "quantized"))

    def _cells(self, row: TailPosition, width: int) -> list[tuple[str, str]]:
        wanted, text = _widths(width)
        place = f"{value_text(row.kl, 3):>{_KL}}{row.chunk:>{_CHUNK}}{row.position:>{_POSITION}}  "
        sign = "≠" if row.flipped else "="
        before, token, after = _context(row, text)
        return [
            (place, "tail--token"),
            (before, "tail--text"),
            (token, "tail--token"),
            (after, "tail--text"),
            (f" {_wanted('', row.reference, wanted)}", "tail--text"),
            (
                f" {_wanted(sign, row.quantized, wanted)}",
                "tail--flip" if row.flipped else "tail--text",
            ),
        ]


def _widths(width: int) -> tuple[int, int]:
    """Cells for what one model wanted, and for the text."""
    wanted = _WANTED if width >= _NARROW else _NARROW_WANTED
    return wanted, max(width - _KL - _CHUNK - _POSITION - 2 - 2 * (wanted + 1), 8)


def _context(row: TailPosition, width: int) -> tuple[str, str, str]:
    """Text before, the token between its marks, text after: together ``width`` cells."""
    token = fitted(f"▸{row.token}◂", width)
    rest = width - len(cells_of(token))
    after = fitted(row.after, min(rest // 3, len(cells_of(row.after))))
    before = _end(row.before, rest - len(cells_of(after)))
    used = len(cells_of(before)) + len(cells_of(token)) + len(cells_of(after))
    return before, token, after + " " * (width - used)


def _end(text: str, width: int) -> str:
    """The end of the text in at most ``width`` cells, with an ellipsis where it is cut."""
    cells = cells_of(text)
    if len(cells) <= width:
        return "".join(cells)
    if width <= 0:
        return ""
    tail = cells[len(cells) - width + 1 :]
    if tail and tail[0] == "":
        tail[0] = " "
    return "…" + "".join(tail)


def _wanted(sign: str, token: WantedToken, width: int) -> str:
    share = f"{100 * token.probability:.0f} %"
    quoted = fitted(f"“{token.text}”", width - len(share) - 1 - 2 * bool(sign))
    return _padded(f"{sign} {quoted} {share}" if sign else f"{quoted} {share}", width)


def _padded(text: str, width: int) -> str:
    shown = fitted(text, width)
    return shown + " " * (width - len(cells_of(shown)))
