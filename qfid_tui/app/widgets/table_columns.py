"""The columns of the settings table: which there are in a width, and how wide each is."""

from __future__ import annotations

from dataclasses import dataclass, replace

from qfid_tui.app.widgets.rows import cell, fitted
from qfid_tui.app.widgets.table_strips import LEAST_STRIP

# Names that are cut keep their beginning too from this width on.
_WHOLE_ENDS = 14
_NAME_WIDTHS = (8, 25)
# Below this width the 99th percentile and the change of perplexity give their columns to the
# strips, and are said in the row's second line or below the table.
_WIDER = 120
_GROUP_HEADS = ("group", "grp", "≈")
# From this width on the letters have a column as wide as its head, below as wide as they are.
_GROUP_IN_FULL = 88
_MOST_LETTERS, _MOST_LETTERS_NARROW = 8, 3


@dataclass(frozen=True, slots=True)
class Columns:
    """Widths of the table's columns in cells, with a gap of at least one; 0 is left out.

    The gap stands behind a name and before a number, so that no two columns touch.
    """

    name: int = 0
    cost: int = 9
    kl: int = 18
    flips: int = 7
    perplexity: int = 0
    p99: int = 0
    verdict: int = 11
    group: int = 0

    @property
    def numbers(self) -> int:
        """Cells of the numbers and the gap behind them."""
        return self.kl + self.flips + self.perplexity + self.p99 + 2

    @property
    def total(self) -> int:
        """Cells before the strip."""
        return 6 + self.name + self.cost + self.numbers + self.verdict + self.group


def columns_for(width: int, *, longest: int, letters: int) -> Columns:
    """The columns of a table.

    Args:
        width: Cells of a row.
        longest: Cells of the longest name and the gap behind it.
        letters: The most letters of a row; 0 where no row has any.
    """
    columns = Columns()
    if width >= _WIDER:
        columns = Columns(cost=12, kl=20, flips=9, perplexity=9, p99=10)
    if letters and width >= _GROUP_IN_FULL:
        room = min(max(letters, len(_GROUP_HEADS[0])), _MOST_LETTERS)
        columns = replace(columns, group=1 + room)
    elif letters:
        columns = replace(columns, group=1 + min(letters, _MOST_LETTERS_NARROW))
    least, most = _NAME_WIDTHS
    # What a setting does to the text matters more than its bytes, and its verdict more than
    # the numbers that it is made of.
    for without in ({"cost": 0}, {"kl": 10}, {"group": 0}, {"flips": 0}):
        if width < columns.total + least:
            columns = replace(columns, **without)
    # Strips of both kinds are worth more than the end of a long name, which stands below.
    room = min(most, width - columns.total - 2 * (LEAST_STRIP + 1))
    return replace(columns, name=max(least, min(longest, room)))


def group_cell(text: str, columns: Columns) -> str:
    """Letters in their column, behind a gap; of too many the first."""
    room = columns.group - 1
    shown = text if len(text) <= room else f"{text[: room - 1]}…"
    return f" {fitted(shown, room)}" if room > 0 else ""


def group_head(columns: Columns) -> str:
    """The head of the letters, in as many cells as they have."""
    room = columns.group - 1
    return group_cell(next((head for head in _GROUP_HEADS if len(head) <= room), ""), columns)


def name_cell(text: str, width: int) -> str:
    """A name in a column; of a long one the end is kept, by which names of one family differ."""
    room = width - 1
    head = 4 if room >= _WHOLE_ENDS else 0
    if len(text) > room > 1:
        text = f"{text[:head]}…{text[head + 1 - room :]}"
    return cell(text, width)
