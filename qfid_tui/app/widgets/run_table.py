"""The saved runs as a table that keeps its cursor on a run while rows come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.events import Click
from textual.message import Message
from textual.widgets import DataTable

from qfid_tui.words.run_rows import GAP, RunRow, cells, heads


class RunTable(DataTable[Text], inherit_bindings=False):
    """One row a run; enter is left to the screen, so that its footer can show it.

    The list may be read only in part: the screen adds rows before the cursor reaches its end.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Down", show=False, id="history.down"),
        Binding("up,k", "cursor_up", "Up", show=False, id="history.up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="history.page_down"),
        Binding("pageup", "page_up", "Page up", show=False, id="history.page_up"),
        Binding("home", "scroll_top", "Newest", show=False, id="history.top"),
        Binding("end", "oldest", "Oldest", show=False, id="history.bottom"),
        Binding("left,h", "scroll_left", "Left", show=False, id="history.left"),
        Binding("right,l", "scroll_right", "Right", show=False, id="history.right"),
    ]

    class Scrolled(Message):
        """Other rows have come into view."""

    class OldestWanted(Message):
        """The user goes to the oldest run, which may not have been read."""

    _shape: Sequence[tuple[str, int]] = ()

    def fill(self, rows: Sequence[RunRow], width: int, *, models: bool, keep: str | None) -> None:
        """Show these runs instead of those shown so far.

        Args:
            rows: The runs, in order.
            width: Columns there are for the table.
            models: Whether they are of several models.
            keep: Id of the run under the cursor, which stays there if it is among them.
        """
        at = self.cursor_row
        self._shape = heads([row.info for row in rows], width, models=models)
        self.clear(columns=True)
        for name, columns in self._shape:
            self.add_column(Text(name), width=columns + GAP)
        self.append(rows)
        if keep is not None:
            ids = [row.info.id for row in rows]
            at = ids.index(keep) if keep in ids else at
            self.move_cursor(row=min(at, len(ids) - 1), animate=False)

    def append(self, rows: Sequence[RunRow]) -> None:
        """Add older runs at the end."""
        for row in rows:
            self.add_row(*map(Text, cells(row, self._shape)))

    def change(self, index: int, row: RunRow) -> None:
        """Show a run anew, whose results have been read or whose mark has changed."""
        for column, text in enumerate(cells(row, self._shape)):
            at = Coordinate(index, column)
            if self.get_cell_at(at).plain != text:
                self.update_cell_at(at, Text(text))

    @property
    def in_view(self) -> range:
        """Indices of the rows that are on the screen."""
        first = max(0, int(self.scroll_offset.y))
        return range(first, min(self.row_count, first + self.size.height))

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell the screen that other rows are on it."""
        super().watch_scroll_y(old_value, new_value)
        if int(old_value) != int(new_value):
            self.post_message(self.Scrolled())

    def on_resize(self) -> None:
        """Tell the screen that more or fewer rows are on it."""
        self.post_message(self.Scrolled())

    def on_click(self, event: Click) -> None:
        """Make a click on any cell of the run under the cursor one on the cursor.

        Textual's table compares cells, also where its cursor is a row.
        """
        at = event.style.meta
        if at.get("row") == self.cursor_row and "column" in at:
            self.move_cursor(column=at["column"], scroll=False)

    def action_oldest(self) -> None:
        """Go to the oldest run."""
        self.action_scroll_bottom()
        self.post_message(self.OldestWanted())
