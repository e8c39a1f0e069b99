"""The table of settings: cost before a run, numbers and strips while it goes on and after it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import ClassVar

from textual.binding import Binding, BindingType
from textual.geometry import Size
from textual.message import Message

from qfid_tui.app.widgets.rows import Part, Rows, cell, fitted, number_cell
from qfid_tui.app.widgets.table_columns import (
    Columns,
    columns_for,
    group_cell,
    group_head,
    name_cell,
)
from qfid_tui.app.widgets.table_strips import table_strips
from qfid_tui.state.kv_cost import short_bytes
from qfid_tui.state.setting_names import name_beside
from qfid_tui.state.table_rows import TableRow
from qfid_tui.state.workbench import RowCursor, StripsShown, WorkbenchState
from qfid_tui.words.about_line import context_costs, note
from qfid_tui.words.model_list import shortened
from qfid_tui.words.table_cells import (
    TotalBytes,
    cost_head,
    cost_text,
    margin_text,
    number_text,
    share_text,
    short_precision,
    total_bytes,
    verdict_text,
    weights_bytes_text,
)
from scorer.common.inert_text import inert
from scorer.report.formats.inline import ABSENT

_MARKS = {True: "[x]", False: "[ ]", None: "   "}
_EARLIER = "old"
_REFUSED = " ✗ "
_EARLIER_IN_VIEW = 1
_OFFERS_IN_VIEW = 2
# Cells of a column of costs, while there are no numbers.
_COST = 12
_TALL_SCREEN = 36
_LEAST_ROWS = 8


def _mark(row: TableRow) -> str:
    """What stands where the tick box has its place."""
    if row.origin:
        return _EARLIER
    return _REFUSED if row.refusal else _MARKS[row.ticked]


class SettingsTable(Rows):
    """Rows of settings; rows are two lines high where there is room."""

    HELP = """\
    One row a setting. **space** ticks it for the next run, **enter** opens its detail.
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "enter", "press", "Open", show=False, id="settings.press", tooltip="Open its detail"
        ),
        Binding(
            "delete,backspace",
            "remove",
            "Remove",
            show=False,
            id="settings.remove",
            tooltip="Take away a setting that was added",
        ),
    ]
    HEAD = 1

    class Ticked(Message):
        """The user ticks a row, or unticks it."""

        def __init__(self, row: TableRow) -> None:
            super().__init__()
            self.row = row

    class Removed(Message):
        """The user removes a row."""

        def __init__(self, row: TableRow) -> None:
            super().__init__()
            self.row = row

    class Reshaped(Message):
        """The height of the rows has changed, and with it what they have room to say."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self.border_title = "Settings"
        self._titles = ("", "")
        self._costs_of = ""
        self._model = ""
        self.rows: Sequence[TableRow] = ()
        self.has_numbers = False
        self._wanted: tuple[StripsShown, bool | None] = ("both", None)
        self._totals: TotalBytes | None = None
        self.strips = table_strips((), *self._wanted)
        self._shape = (0, False)
        self._row_height = 1

    def show(self, state: WorkbenchState) -> None:
        """Show the rows of a state; the cursor stays on its setting."""
        wanted = state.strips, state.own_scale
        # Of weights and cache together the bytes per token say little.
        in_all = state.highlighted is None and state.comparison.compares_weights
        totals = total_bytes(state.grid) if in_all and state.has_numbers else None
        if state.rows is self.rows and (wanted, totals) == (self._wanted, self._totals):
            return
        self._totals = totals
        cursor = self.row_cursor
        self.rows, self._wanted = state.rows, wanted
        self._model = state.choices.model or ""
        self._costs_of = "" if state.highlighted is None else state.highlighted.name
        self.cursor = cursor.find(self.rows)
        self.has_numbers = state.has_numbers
        shape = len(self.rows), self.has_numbers
        if shape != self._shape:
            self._shape = shape
            self.refresh(layout=True)
        self.strips = table_strips(self.rows, *wanted)
        self.rows_changed()

    @property
    def row_cursor(self) -> RowCursor:
        """Where the cursor is."""
        row = self.row
        if row is None:
            return RowCursor(self.cursor)
        return RowCursor(self.cursor, row.name, row.run)

    @property
    def row(self) -> TableRow | None:
        """The row with the cursor; None in an empty table."""
        return self.rows[self.cursor] if self.cursor < len(self.rows) else None

    def rows_changed(self) -> None:
        """See :meth:`Rows.rows_changed`; posts :class:`Reshaped` if the height of rows changes."""
        super().rows_changed()
        self._show_legend()
        if self.row_height() != self._row_height:
            self._row_height = self.row_height()
            self.post_message(self.Reshaped())

    def row_count(self) -> int:
        """The number of rows."""
        return len(self.rows)

    def row_height(self) -> int:
        """Two lines if the rows of this comparison fit with two lines each, else one."""
        own = self._own_rows
        return 2 if self.has_numbers and self.size.height - self.HEAD >= 2 * own > 0 else 1

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Two lines a row where the table may take half the screen, else one, and the head."""
        own = self._own_rows
        tall = self.has_numbers and viewport.height >= _TALL_SCREEN
        offers = sum(row.is_offer for row in self.rows)
        earlier = len(self.rows) - own - offers
        if self.has_numbers or viewport.height < _TALL_SCREEN:
            offers = min(offers, _OFFERS_IN_VIEW)
        rows = max(1, own + offers + (earlier if tall else min(earlier, _EARLIER_IN_VIEW)))
        most = viewport.height // 2 - 2
        if self.has_numbers and not tall:
            # Charts keep some lines of a low screen.
            most = max(most - 2, min(most, _LEAST_ROWS))
        return self.HEAD + min(rows * (2 if tall else 1), most)

    @property
    def _own_rows(self) -> int:
        """Rows of this comparison; weights that nobody has asked for are not among them."""
        return sum(not row.origin and not row.is_offer for row in self.rows)

    def empty_line(self, line: int) -> str:
        """What to do."""
        return "choose a model first (m)" if line == 0 else ""

    def move_to(self, index: int) -> None:
        """See :meth:`Rows.move_to`; the legend is about the row with the cursor."""
        super().move_to(index)
        self._show_legend()

    def _show_legend(self) -> None:
        """The scales of the strips below, and above the costs that the table has no columns for."""
        title, row = "Settings", self.row
        if self._costs_of:
            room = max(8, self._room_in_border - len(f"{title} · costs of "))
            title += f" · costs of {shortened(self._costs_of, room)}"
        if self.has_numbers and self.row_height() == 1 and row is not None and row.cost is not None:
            title += self._costs_in_title(row.shown_name, context_costs(row.cost))
        legend = self.strips.legend(row, self._room_in_border) if self.has_numbers else ""
        # A title that is set paints the whole table, even if it is the same.
        if (title, legend) != self._titles:
            self._titles = title, legend
            self.border_title, self.border_subtitle = title, legend

    @property
    def _room_in_border(self) -> int:
        """Cells for a text in the border; as many as one likes before the first layout."""
        return self.outer_size.width - 6 if self.outer_size.width else 1000

    def _costs_in_title(self, name: str, costs: list[str]) -> str:
        """The costs that have room behind the title; those of short contexts go first."""
        for first in range(len(costs)):
            said = f" · {inert(name)}: KV {', '.join(costs[first:])}"
            if len(f"Settings{said}") <= self._room_in_border:
                return said
        return ""

    def action_tick(self) -> None:
        """Tick the row with the cursor, or untick it."""
        if self.row is not None and self.row.ticked is not None:
            self.post_message(self.Ticked(self.row))

    def action_remove(self) -> None:
        """Remove the row with the cursor."""
        if self.row is not None:
            self.post_message(self.Removed(self.row))

    def action_press(self) -> None:
        """Enter on a row."""
        self.post_message(self.Pressed(self, self.cursor))

    def pressed_at(self, index: int, x: int) -> None:
        """A click on the box ticks; anywhere else it presses."""
        if x < 6:
            self.action_tick()
        else:
            super().pressed_at(index, x)

    def head_line(self, line: int, width: int) -> Iterable[Part]:
        """Names of the columns."""
        columns = self._columns(width)
        start = " " * 6 + cell("setting", columns.name)
        if not self.has_numbers:
            heads = ["KV B/token", "of 16 bit", "at 8k", "at 32k", "at 128k"]
            shown = _with_room(heads, width - 6 - columns.name)
            return [(start + "".join(number_cell(head, _COST) for head in shown), "head")]
        rest = number_cell(cost_head(self._totals, columns.cost - 1), columns.cost)
        rest += number_cell("KL mean, nats" if columns.kl > 13 else "KL mean", columns.kl)
        rest += number_cell("flips", columns.flips)
        rest += number_cell("Δppl", columns.perplexity)
        rest += number_cell("KL p99", columns.p99)
        strips = self.strips.head(width - columns.total, self.row_height())
        rest += "  " + fitted("verdict", columns.verdict) + group_head(columns)
        return [(start + rest + strips, "head")]

    def row_line(self, index: int, line: int, width: int) -> Iterable[Part]:
        """A line of a row: numbers in the first, what they mean in the second."""
        row = self.rows[index]
        style = "muted" if row.origin or row.setting is None else "text"
        columns = self._columns(width)
        if line == 1:
            return self._second(row, columns, width)
        at_cursor = "▸ " if index == self.cursor else "  "
        across = columns.cost if self.has_numbers else _COST
        if self._totals is not None:
            cost = ABSENT if row.origin else self._totals.text(row.name)
        elif row.has_weights:
            cost = weights_bytes_text(row.weights)
        else:
            cost = ABSENT if row.cost is None else cost_text(row.cost, across - 1)
        name_style = "strong" if row.ticked and not row.refusal else style
        parts: list[Part] = [
            (at_cursor, "strong"),
            (_mark(row), "strong" if row.ticked and not row.refusal else "muted"),
            (" ", "text"),
            (name_cell(self._name_of(row), columns.name), name_style),
            (number_cell(cost, across), style),
        ]
        if row.refusal:
            text = fitted("  ✗ " + inert(row.refusal), max(0, width - 6 - columns.name))
            return [*parts[:4], (text, "muted")]
        if not self.has_numbers:
            return [*parts, *self._costs(row, style, width - 6 - columns.name - _COST)]
        parts += self._numbers(row, columns, style)
        return [*parts, *self._strip_of(row, 0, columns, width)]

    def _costs(self, row: TableRow, style: str, room: int) -> list[Part]:
        if row.has_weights and row.figures is None:
            # Those of a model are read once it is taken.
            said = "nothing can be read of these weights" if row.unreadable else "not read yet"
            if row.weights is not None:
                bits = f"of weights, {row.weights.bits_per_weight:.2f} bits each"
                said = f"{bits} · {inert(short_precision(row.weights))}"
            return [(" " + fitted(said, max(0, room - 1)), style)]
        if row.figures is not None:
            said = f"{margin_text(row.figures)} nats, {verdict_text(row.figures)} · {row.origin}"
            return [("  " + fitted(inert(said), max(0, room - 2)), style)]
        if row.cost is None:
            return []
        cells = [f"{100 * row.cost.share:.0f} %"]
        cells += [row.cost.sign + short_bytes(at) for at in row.cost.at]
        shown = _with_room(["", *cells], room + _COST)[1:]
        return [("".join(number_cell(text, _COST) for text in shown), style)]

    def _numbers(self, row: TableRow, columns: Columns, style: str) -> list[Part]:
        figures = row.figures
        if figures is None or row.failure is not None:
            word = "✗ failed" if row.failure else "· waiting" if row.waiting else ""
            style = "bad" if row.failure else "muted"
            across = columns.verdict + columns.group
            return [(" " * columns.numbers, "text"), (fitted(word, across), style)]
        cells = number_cell(margin_text(figures, columns.kl - 1), columns.kl)
        cells += number_cell(share_text(figures.flip_rate), columns.flips)
        if columns.perplexity:
            change = number_text(
                figures.perplexity_delta, columns.perplexity - 1, significant=2, sign=True
            )
            cells += number_cell(change, columns.perplexity)
        if columns.p99:
            tail = number_text(figures.kl_p99, columns.p99 - 1, significant=3)
            cells += number_cell(tail, columns.p99)
        verdict = style if row.origin else figures.verdict
        return [
            (cells + "  ", style),
            (fitted(verdict_text(figures), columns.verdict), verdict),
            (group_cell(row.letters, columns), style),
        ]

    def _second(self, row: TableRow, columns: Columns, width: int) -> list[Part]:
        text = fitted(" " * 6 + inert(note(row, with_hidden=not columns.p99)), columns.total)
        return [(text, "bad" if row.failure else "muted"), *self._strip_of(row, 1, columns, width)]

    def _strip_of(self, row: TableRow, line: int, columns: Columns, width: int) -> list[Part]:
        lines = self.strips.lines(row, width - columns.total, self.row_height())
        if not lines:
            return []
        figures = row.figures
        return [(lines[line], "muted" if row.origin or figures is None else figures.verdict)]

    def _name_of(self, row: TableRow) -> str:
        """The name of a row; of weights that are offered without what the model's name says."""
        return name_beside(row.name, self._model) if row.is_offer else row.shown_name

    def _widens(self, row: TableRow) -> bool:
        """Whether the column of names makes room for a row: strips come before weights offered."""
        return not (self.has_numbers and row.is_offer)

    def _columns(self, width: int) -> Columns:
        return columns_for(
            width,
            longest=max(
                (len(self._name_of(row)) for row in self.rows if self._widens(row)), default=0
            )
            + 1,
            letters=max((len(row.letters) for row in self.rows), default=0),
        )


def _with_room(cells: list[str], width: int) -> list[str]:
    """The columns of costs that have room; those of short contexts go first."""
    kept = min(len(cells), max(1, width // _COST))
    return cells[: min(2, kept)] + cells[len(cells) - max(0, kept - 2) :]
