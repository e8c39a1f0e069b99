"""Sparkline strips: a cell per value or per group of values, one scale for all rows or one each.

Textual's sparkline scales every row separately, has no logarithmic scale and crashes on NaN.
Standard library only, so that it can be used before large imports.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from qfid_tui.pictures.scale import decade_text, decades, fraction, placeable, power_of_ten

BLOCKS = " ▁▂▃▄▅▆▇█"
FLOOR, MISSING, INFINITE = "_", "·", "^"

_LEVELS = len(BLOCKS) - 1
# The scale of an empty table: typical decades of a small model.
_DEFAULT_DECADES = (-4, 0)


@dataclass(frozen=True, slots=True)
class StripScale:
    """The values at the bottom and the top of a strip.

    Attributes:
        low: Lower end; values at or below it are drawn as ``_``.
        high: Upper end; larger values are drawn at full height.
        log: Whether the scale is logarithmic.

    Raises:
        ValueError: Not ``low < high``, an end is not finite, or not positive on a log scale.
    """

    low: float
    high: float
    log: bool

    def __post_init__(self) -> None:
        ends = self.low, self.high
        if not all(placeable(end, log=self.log) for end in ends) or self.low >= self.high:
            raise ValueError(f"no scale from {self.low} to {self.high}")


def kl_scale(rows: Iterable[Sequence[float | None]]) -> StripScale:
    """Return the logarithmic scale over the decades of all rows, rounded outward.

    Args:
        rows: KL per chunk in nats, one sequence per setting; values that are not positive and
            finite are ignored.
    """
    low, high = decades(value for row in rows for value in _ends(row)) or _DEFAULT_DECADES
    return StripScale(power_of_ten(low), power_of_ten(high), log=True)


def flips_scale(rows: Iterable[Sequence[float | None]]) -> StripScale:
    """Return the linear scale from 0 to the largest finite value of all rows, else to 1.

    Args:
        rows: Flips per chunk, as counts or as shares.
    """
    largest = max(
        (value for row in rows for value in _ends(row) if placeable(value, log=False)), default=0.0
    )
    return StripScale(0.0, largest if largest > 0 else 1.0, log=False)


def row_scale(row: Sequence[float | None]) -> StripScale:
    """Return the linear scale of one row: its least value is the lowest block, its largest full.

    Zeros are drawn as ``_``. Equal values are drawn at half height.
    """
    ends = _finite_ends(row)
    if ends is None or ends[1] <= 0:
        return StripScale(0.0, 1.0, log=False)
    least, most = ends
    if least == most:
        return StripScale(0.0, most if most > sys.float_info.max / 2 else 2 * most, log=False)
    # One of the eight levels below the least value, so that it does not look like a zero.
    low = max(0.0, least - (most - least) / _LEVELS)
    return StripScale(low, most, log=False)


def is_flat(row: Sequence[float | None], scale: StripScale) -> bool:
    """Return whether unequal values of a row differ by at most one of eight levels on a scale."""
    ends = _finite_ends(row)
    if ends is None or ends[0] == ends[1]:
        return False
    low, high = (fraction(end, scale.low, scale.high, log=scale.log) for end in ends)
    return (high - low) * _LEVELS <= 1


def range_text(row: Sequence[float | None], *, percent: bool = False) -> str:
    """Format the least and the largest value: ``0.081–0.15``, ``3.1–9.4 %``; "" for no value.

    Args:
        row: Values; those that are not finite are ignored.
        percent: Whether the values are shares, 0 to 1, to be given in percent.
    """
    ends = _finite_ends(row)
    if ends is None:
        return ""
    least, most = (_short(100 * end if percent else end) for end in ends)
    return (least if least == most else f"{least}–{most}") + (" %" if percent else "")


def averaged(values: Sequence[float | None], cells: int) -> Sequence[float | None]:
    """Return the values if they fit, else the means of ``cells`` groups of neighbours.

    Values that are missing or NaN are ignored; a group without any other is None.
    """
    count = len(values)
    if count <= cells or cells <= 0:
        return values
    ends = [i * count // cells for i in range(cells + 1)]
    return [_mean(values[a:b]) for a, b in pairwise(ends)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    # Each divided first: a sum of finite floats may be infinite.
    return sum(value / len(known) for value in known) if known else None


def _finite_ends(row: Sequence[float | None]) -> tuple[float, float] | None:
    known = [value for value in _ends(row) if placeable(value, log=False)]
    return (min(known), max(known)) if known else None


def _short(value: float) -> str:
    """Two digits: ``0.081``, ``12``, ``1.1e-4``."""
    if value == 0 or 1e-3 <= value < 100:
        return f"{value:.2g}"
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return f"{value:.0f}" if 100 <= value < 1e4 else f"{mantissa}e{int(exponent)}"


def _ends(row: Sequence[float | None]) -> Sequence[float | None]:
    """Return only the least and the largest value, or the row if a value is unusual.

    Tables call this ten times a second for thousands of values, so it uses only fast built-ins.
    """
    known = cast("Sequence[float]", row)
    try:
        if row and math.isfinite(sum(known)) and min(known) > 0:
            return min(known), max(known)
    except TypeError:
        # The row contains None.
        pass
    return row


def strip(values: Sequence[float | None], width: int, height: int, scale: StripScale) -> list[str]:
    """Draw values as lines of block characters.

    A value at or below the low end of the scale is ``_``, NaN or None is ``·``, +inf is a full
    column with ``^`` at the top. The height is a monotonic function of the value.

    Args:
        values: One cell per value, oldest first; the last ``width`` values are shown.
        width: Cells per line; cells without a value are blank, at the right.
        height: Number of lines.
        scale: Scale of all strips that are compared.

    Returns:
        ``height`` strings of exactly ``width`` cells, the top one first.
    """
    width, height = max(width, 0), max(height, 0)
    shown = values[-width:] if width else values[:0]
    columns = [column(value, height, scale) for value in shown]
    pad = " " * (width - len(columns))
    return ["".join(column[row] for column in columns) + pad for row in range(height)]


def scale_label(scale: StripScale) -> str:
    """Format both ends of the scale: ``1e-4 … 1``."""
    if not scale.log:
        return f"{scale.low:.3g} … {scale.high:.3g}"
    return f"{_log_text(scale.low)} … {_log_text(scale.high)}"


def _log_text(value: float) -> str:
    exponent = round(math.log10(value))
    return decade_text(exponent) if value == power_of_ten(exponent) else f"{value:.3g}"


def column(value: float | None, height: int, scale: StripScale) -> str:
    """Draw one value as ``height`` characters, the top one first; signs as in :func:`strip`."""
    if not height:
        return ""
    if value is None or math.isnan(value):
        return MISSING.rjust(height)
    if value == math.inf:
        return INFINITE + BLOCKS[-1] * (height - 1)
    if value <= scale.low:
        return FLOOR.rjust(height)
    share = fraction(value, scale.low, scale.high, log=scale.log)
    level = max(1, math.ceil(share * height * _LEVELS))
    full, rest = divmod(level, _LEVELS)
    column = BLOCKS[-1] * full + (BLOCKS[rest] if rest else "")
    return column[::-1].rjust(height)
