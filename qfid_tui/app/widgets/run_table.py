"""The saved runs as rows that are made when they are painted: there may be thousands."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.message import Message
from textual.strip import Strip

from qfid_tui.app.widgets.rows import Part, Rows, cell
from qfid_tui.words.run_rows import GAP, RunRow, cells, heads
from scorer.runs.run_info import RunInfo

_SIGN = "▸"


class RunTable(Rows, inherit_bindings=False):
    """One row a run; enter is left to the screen, so that its footer can show it.

    The list may be read only in part: the screen adds rows before the cursor reaches its end.

    Attributes:
        runs: The runs, in order; belongs to the screen, see :meth:`grow`.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "move(1)", "Down", show=False, id="history.down"),
        Binding("up,k", "move(-1)", "Up", show=False, id="history.up"),
        Binding("pagedown", "page(1)", "Page down", show=False, id="history.page_down"),
        Binding("pageup", "page(-1)", "Page up", show=False, id="history.page_up"),
        Binding("home", "move(-1000000)", "Newest", show=False, id="history.top"),
        Binding("end", "oldest", "Oldest", show=False, id="history.bottom"),
        Binding("left,h", "aside(-1)", "Left", show=False, id="history.left"),
        Binding("right,l", "aside(1)", "Right", show=False, id="history.right"),
    ]
    HEAD = 1

    class Scrolled(Message):
        """Other rows have come into view."""

    class OldestWanted(Message):
        """The user goes to the oldest run, which may not have been read."""

    def __init__(self, row_of: Callable[[RunInfo], RunRow]) -> None:
        """Make an empty table.

        Args:
            row_of: Gives what is shown of a run.
        """
        super().__init__()
        self._row_of = row_of
        self._shape: Sequence[tuple[str, int]] = ()
        self._aside = 0
        self.runs: Sequence[RunInfo] = ()

    def fill(self, runs: Sequence[RunInfo], width: int, *, models: bool, keep: str | None) -> None:
        """Show these runs instead of those shown so far.

        Args:
            runs: The runs, in order.
            width: Columns there are for the table.
            models: Whether they are of several models.
            keep: Id of the run under the cursor, which stays there if it is among them.
        """
        self.runs = runs
        self._shape = heads(runs, width, models=models)
        self._aside = min(self._aside, self._hidden)
        at = next((i for i, run in enumerate(runs) if run.id == keep), None)
        self.rows_changed()
        if at is not None:
            self.move_to(at)
        self.refresh()

    def grow(self) -> None:
        """Show the runs that the screen has added to the list."""
        self.rows_changed()

    def change(self, index: int) -> None:
        """Show a run anew, whose results have been read or whose mark has changed."""
        self.refresh_lines(self.HEAD + index, 1)

    @property
    def heads(self) -> list[str]:
        """Names of the columns."""
        return [name for name, _ in self._shape]

    def texts(self, index: int) -> list[str]:
        """What the columns of a row show."""
        return cells(self._row_of(self.runs[index]), self._shape)

    @property
    def in_view(self) -> range:
        """Indices of the rows that are on the screen."""
        first = max(0, int(self.scroll_offset.y))
        return range(first, min(len(self.runs), first + max(0, self.size.height - self.HEAD)))

    def row_count(self) -> int:
        """Runs in the list."""
        return len(self.runs)

    def head_line(self, line: int, width: int) -> Iterable[Part]:
        """The names of the columns."""
        return [(cell(name, columns + GAP), "head") for name, columns in self._shape]

    def row_line(self, index: int, line: int, width: int) -> Iterable[Part]:
        """The cells of a run; the one with the cursor has a sign too."""
        texts = self.texts(index)
        if index == self.cursor:
            texts[0] = _SIGN + texts[0][1:]
        return [
            (cell(text, columns + GAP), "text")
            for text, (_, columns) in zip(texts, self._shape, strict=True)
        ]

    def _strip(self, parts: Iterable[Part], width: int, at_cursor: bool = False) -> Strip:
        whole = super()._strip(parts, width + self._hidden, at_cursor)
        return whole.crop(self._aside, self._aside + width)

    @property
    def _hidden(self) -> int:
        """Columns that have no room."""
        width = sum(columns + GAP for _, columns in self._shape)
        return max(0, width - self.scrollable_content_region.width)

    def action_aside(self, columns: int) -> None:
        """Show other columns, where not all have room."""
        self._aside = min(max(0, self._aside + columns), self._hidden)
        self.refresh()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Tell the screen that other rows are on it."""
        super().watch_scroll_y(old_value, new_value)
        if int(old_value) != int(new_value):
            self.post_message(self.Scrolled())

    def on_resize(self) -> None:
        """Tell the screen that more or fewer rows are on it."""
        super().on_resize()
        self.post_message(self.Scrolled())

    def action_oldest(self) -> None:
        """Go to the oldest run."""
        self.move_to(len(self.runs))
        self.post_message(self.OldestWanted())
