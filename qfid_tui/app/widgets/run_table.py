"""The saved runs as a table that keeps its cursor on a run while rows come and go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from qfid_tui.words.run_rows import cells, heads
from scorer.runs.run_info import RunInfo


class RunTable(DataTable[Text], inherit_bindings=False):
    """One row a run; enter is left to the screen, so that its footer can show it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down,j", "cursor_down", "Down", show=False, id="history.down"),
        Binding("up,k", "cursor_up", "Up", show=False, id="history.up"),
        Binding("pagedown", "page_down", "Page down", show=False, id="history.page_down"),
        Binding("pageup", "page_up", "Page up", show=False, id="history.page_up"),
        Binding("home", "scroll_top", "Newest", show=False, id="history.top"),
        Binding("end", "scroll_bottom", "Oldest", show=False, id="history.bottom"),
        Binding("left,h", "scroll_left", "Left", show=False, id="history.left"),
        Binding("right,l", "scroll_right", "Right", show=False, id="history.right"),
    ]

    def fill(
        self, runs: Sequence[RunInfo], width: int, *, models: bool, keep: RunInfo | None
    ) -> None:
        """Show these runs instead of those shown so far.

        Args:
            runs: The runs, in order.
            width: Columns there are for the table.
            models: Whether they are of several models.
            keep: The run under the cursor, which stays there if it is among them.
        """
        row = self.cursor_row
        shape = heads(runs, width, models=models)
        self.clear(columns=True)
        for name, columns in shape:
            self.add_column(Text(name), width=columns)
        for run in runs:
            self.add_row(*map(Text, cells(run, shape)))
        if keep is not None:
            ids = [run.id for run in runs]
            row = ids.index(keep.id) if keep.id in ids else row
            self.move_cursor(row=min(row, len(ids) - 1), animate=False)
