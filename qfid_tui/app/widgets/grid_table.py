"""The grid of weights and KV settings: weights down, KV settings across, a cursor on one cell."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from rich.cells import cell_len
from textual import events
from textual.binding import Binding, BindingType
from textual.geometry import Size

from qfid_tui.app.widgets.rows import Part, Rows, cell, fitted
from qfid_tui.app.widgets.table_columns import name_cell
from qfid_tui.state.grid import Grid
from qfid_tui.words.grid_lines import (
    Number,
    cell_lines,
    cell_style,
    legend_text,
    weights_label,
)
from scorer.common.inert_text import inert

_LEAST_CELL, _MOST_CELL = 13, 26
_LABELS = (14, 30)
_MOST_LINES = 3


class GridTable(Rows):
    """Rows of weights and columns of KV settings; columns without room scroll with the cursor."""

    HELP = """\
    One row for the weights, one column for the KV cache. **enter** opens the cell's detail.
    """
    HEAD = 1
    COMPONENT_CLASSES: ClassVar[set[str]] = {"rows--cell"}
    DEFAULT_CSS = """
    GridTable {
        & > .rows--cell { text-style: reverse bold; }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "press", "Detail", id="grid.detail", tooltip="Open the detail of the cell"
        ),
        Binding("left,h", "across(-1)", "Left", show=False, id="grid.left", tooltip="KV before"),
        Binding("right,l", "across(1)", "Right", show=False, id="grid.right", tooltip="KV after"),
    ]

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self._grid: Grid | None = None
        self._number: Number = "KL"
        self.column = 0
        self._left = 0

    def show(self, grid: Grid, number: Number) -> None:
        """Show a grid; the cursor stays on its cell.

        Args:
            grid: The grid.
            number: What stands in cells of one line.
        """
        before, name = self._grid, self.cell_name
        reshaped = before is None or (before.weights, before.caches) != (grid.weights, grid.caches)
        self._grid, self._number = grid, number
        if reshaped:
            place = grid.place_of(name) if before is not None and name else None
            row, self.column = place or (self.cursor, min(self.column, len(grid.caches) - 1))
            self.cursor = min(row, len(grid.weights) - 1)
            self.refresh(layout=True)
        what = {"KL": "KL mean, nats", "bytes": "total bytes", "flips": "flips"}[number]
        if self.row_height() > 1:
            what = ", ".join(["KL mean in nats", "total bytes", "flips"][: self.row_height()])
        self.border_title = f"Weights × KV cache · {what}"
        legend = legend_text(grid, self.row_height())
        self.border_subtitle = fitted(legend, self.size.width - 4).rstrip()
        self.rows_changed()

    @property
    def cell_name(self) -> str:
        """Name of the cell with the cursor; "" for none."""
        grid = self._grid
        return "" if grid is None else grid.cell(self.cursor, self.column).name

    def row_count(self) -> int:
        """One for each of the weights."""
        return 0 if self._grid is None else len(self._grid.weights)

    def row_height(self) -> int:
        """As many lines as every row has room for, three at most."""
        room = self.size.height - self.HEAD
        return max(1, min(_MOST_LINES, room // max(1, self.row_count())))

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Three lines a row where they fit in 3/7 of the screen, else as many as do."""
        most = max(3, viewport.height * 3 // 7 - 3)
        rows = max(1, self.row_count())
        lines = max(1, min(_MOST_LINES, (most - self.HEAD) // rows))
        return self.HEAD + min(rows * lines, max(1, most - self.HEAD))

    def action_across(self, columns: int) -> None:
        """Move the cursor by so many columns."""
        if self._grid is not None:
            column = min(max(0, self.column + columns), len(self._grid.caches) - 1)
            if column != self.column:
                self.column = column
                self.refresh()
                self.post_message(self.Moved(self, self.cursor))

    def action_press(self) -> None:
        """Enter on a cell."""
        self.post_message(self.Pressed(self, self.cursor))

    def on_click(self, event: events.Click) -> None:
        """Move the cursor to the cell, or press it where the cursor is there already."""
        # Else the handler of rows is called, too.
        event.prevent_default()
        offset = event.get_content_offset(self)
        index = None if offset is None else self.row_at(offset.y)
        if index is None or offset is None or self._grid is None:
            return
        label, size, shown = self._widths(self.scrollable_content_region.width)
        column = self.column if offset.x < label else self._left + (offset.x - label) // size
        column = min(column, self._left + shown - 1, len(self._grid.caches) - 1)
        if (index, column) == (self.cursor, self.column):
            self.post_message(self.Pressed(self, index))
            return
        self.action_across(column - self.column)
        self.move_to(index)

    def _widths(self, width: int) -> tuple[int, int, int]:
        """Cells of the label and of a column, and how many columns have room."""
        grid = self._grid
        if grid is None:
            return 0, _LEAST_CELL, 1
        names = [weights_label(grid, row)[0] for row in range(len(grid.weights))]
        least, most = _LABELS
        longest = 4 + max(map(cell_len, names), default=0)
        label = max(least, min(longest, most, width // 3))
        columns = len(grid.caches)
        size = max(_LEAST_CELL, min(_MOST_CELL, (width - label - 2) // columns))
        shown = max(1, min(columns, (width - label - 2) // size))
        # The column with the cursor is in view.
        self._left = max(min(self._left, self.column, columns - shown), self.column - shown + 1, 0)
        return label, size, shown

    def head_line(self, line: int, width: int) -> Iterable[Part]:
        """The KV settings, the one with the cursor marked."""
        grid = self._grid
        if grid is None:
            return []
        label, size, shown = self._widths(width)
        parts: list[Part] = [(cell("  weights", label), "head")]
        for column in range(self._left, self._left + shown):
            name = f"KV {grid.caches[column] or '16 bit'}"
            mark = "▾" if column == self.column else " "
            parts.append((cell(f"{mark}{inert(name)}", size), "head"))
        before = "‹" if self._left else " "
        after = "›" if self._left + shown < len(grid.caches) else " "
        return [*parts, (before + after, "strong")]

    def row_line(self, index: int, line: int, width: int) -> Iterable[Part]:
        """A line of a row: name, bits per weight and size; the cells."""
        grid = self._grid
        if grid is None:
            return []
        label, size, shown = self._widths(width)
        mark = "▸ " if index == self.cursor and line == 0 else "  "
        said = inert(weights_label(grid, index)[line])
        parts: list[Part] = [
            (mark, "strong"),
            (name_cell(said, label - 2), "text" if line == 0 else "muted"),
        ]
        for column in range(self._left, self._left + shown):
            found = grid.cell(index, column)
            lines = cell_lines(found, grid.pick, size - 1, self.row_height(), self._number)
            text = fitted(lines[line] if line < len(lines) else "", size - 1)
            style = cell_style(found) if line == 0 or not found.fits else "text"
            if index == self.cursor and column == self.column:
                style = "cell"
            parts += [(text, style), (" ", "text")]
        return parts
