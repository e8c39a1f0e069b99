"""The strips of the settings table: KL and flips of each row, their scales and their legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len

from qfid_tui.app.widgets.rows import fitted
from qfid_tui.pictures.strips import (
    StripScale,
    averaged,
    flips_scale,
    is_flat,
    kl_scale,
    range_text,
    row_scale,
    scale_label,
    strip,
)
from qfid_tui.state.table_rows import TableRow
from qfid_tui.state.workbench import StripsShown
from scorer.common.inert_text import inert

LEAST_STRIP = 6
_RANGE = 13
# With less room for both, a row says its range in the legend only.
_LEAST_WITH_RANGE = 12


@dataclass(frozen=True, slots=True)
class TableStrips:
    """How the strips of all rows are drawn.

    Attributes:
        shown: KL, flips, or both.
        kl: The scale of KL that the rows share; None for a scale of its own in each row.
        flips: The scale of flips, likewise.
        apart: Whether some rows with numbers are not ranked with the others.
    """

    shown: StripsShown
    kl: StripScale | None
    flips: StripScale | None
    apart: bool

    @property
    def has_own_scales(self) -> bool:
        """Whether each row has a scale of its own in a strip that is shown."""
        return (self.kl is None and self.shown != "flips") or (
            self.flips is None and self.shown != "KL"
        )

    def lines(self, row: TableRow, width: int, height: int) -> list[str]:
        """Draw the strips of a row.

        Args:
            row: The row.
            width: Cells of a line.
            height: Lines of the row, 1 or 2. Both strips stand one above the other, or side by
                side on one line.

        Returns:
            ``height`` strings; empty for a row without values or a width without room.
        """
        if self.shown != "both":
            cells = width - 1
            if cells < LEAST_STRIP or not row.kl:
                return []
            return [" " + line for line in self._strip(row, self.shown, cells, height)]
        if height == 1:
            cells = (width - 2) // 2
            if cells < LEAST_STRIP or not row.kl:
                return []
            [kl], [flips] = (self._strip(row, what, cells, 1) for what in ("KL", "flips"))
            return [f" {kl} {flips}"]
        cells = width - 1
        with_range = self.has_own_scales and cells - _RANGE - 1 >= _LEAST_WITH_RANGE
        if with_range:
            cells -= _RANGE + 1
        if cells < LEAST_STRIP or not row.kl:
            return []
        found = []
        for what in ("KL", "flips"):
            [line] = self._strip(row, what, cells, 1)
            values = row.flips if what == "flips" else row.kl
            end = f" {fitted(range_text(values, percent=what == 'flips'), _RANGE)}"
            found.append(" " + line + (end if with_range else ""))
        return found

    def head(self, width: int, height: int) -> str:
        """The names above the strips."""
        cells = (width - 2) // 2 if self.shown == "both" and height == 1 else width - 1
        if cells < LEAST_STRIP:
            return ""
        if self.shown != "both":
            return f" {fitted(f'{self.shown} by chunk', cells)}"
        if height == 1:
            return f" {fitted('KL', cells)} {fitted('flips', cells)}"
        return f" {fitted('KL above, flips below', cells)}"

    def legend(self, row: TableRow | None, width: int) -> str:
        """The scales; where each row has its own, the range of the row with the cursor.

        Args:
            row: The row with the cursor.
            width: Cells for it; a part without room is left out whole.
        """
        parts = []
        for what, scale in (("KL", self.kl), ("flips", self.flips)):
            if self.shown not in (what, "both"):
                continue
            percent = what == "flips"
            if scale is None:
                values = () if row is None else row.flips if percent else row.kl
                text = range_text(values, percent=percent)
            elif percent:
                text = f"0 … {100 * scale.high:.3g} %"
            else:
                text = scale_label(scale)
            if text:
                parts.append(f"{what} a chunk {text}{'' if percent else ' nats'}")
        said = ", ".join(parts)
        forms = [said, *parts]
        if self.has_own_scales:
            name = "" if row is None or not row.kl else f"{inert(row.shown_name)}: "
            whole = f"{name}{said}; a scale per row" if said else "strips: a scale per row"
            forms = [whole, *(f"{name}{form}" for form in forms)]
        elif self.apart:
            forms = [f"{said}; rows of other conditions each on their own", *forms]
        return next((form for form in forms if cell_len(form) <= width), "")

    def _strip(self, row: TableRow, what: StripsShown, cells: int, height: int) -> list[str]:
        values = row.flips if what == "flips" else row.kl
        scale = self.flips if what == "flips" else self.kl
        if scale is None or row.differs:
            scale = row_scale(values)
        kl, flips = row.in_text
        in_text = (flips if what == "flips" else kl) or values
        return strip(averaged(in_text, cells), cells, height, scale)


def table_strips(
    rows: Sequence[TableRow], shown: StripsShown, own_scale: bool | None
) -> TableStrips:
    """How the strips of rows are drawn.

    Args:
        rows: The rows of the table.
        shown: What the user wants to see.
        own_scale: Whether each row has a scale of its own; None: where one scale for all would
            draw the unequal values of a row as a flat line.
    """
    kl = [row.kl for row in rows if row.kl and not row.differs]
    flips = [row.flips for row in rows if row.kl and not row.differs]
    apart = any(row.differs and row.kl for row in rows)
    return TableStrips(
        shown,
        _common(kl, kl_scale(kl), own_scale),
        _common(flips, flips_scale(flips), own_scale),
        apart,
    )


def _common(
    rows: Sequence[Sequence[float]], scale: StripScale, own_scale: bool | None
) -> StripScale | None:
    if own_scale is None:
        own_scale = any(is_flat(row, scale) for row in rows)
    return None if own_scale else scale
