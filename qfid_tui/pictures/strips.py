"""Sparkline strips: one cell a value, all rows on one scale, any float drawn.

Textual's own sparkline scales every row to itself, knows no logarithm and ends the app on a NaN.
Pure standard library, so that a table can use it before anything heavy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

from qfid_tui.pictures.scale import decade_text, decades, fraction, placeable, power_of_ten

BLOCKS = " ▁▂▃▄▅▆▇█"
FLOOR, MISSING, INFINITE = "_", "·", "^"

_LEVELS = len(BLOCKS) - 1
# What an empty table shows: the decades that the settings of a small model span.
_DEFAULT_DECADES = (-4, 0)


@dataclass(frozen=True, slots=True)
class StripScale:
    """What the bottom and the top of a strip stand for.

    Attributes:
        low: The lower end; values at or below it are drawn as the floor.
        high: The upper end; larger values are drawn at full height.
        log: Whether heights are proportional to the logarithm.

    Raises:
        ValueError: The ends are not ``low < high``, finite, and above zero on a logarithmic scale.
    """

    low: float
    high: float
    log: bool

    def __post_init__(self) -> None:
        ends = self.low, self.high
        if not all(placeable(end, log=self.log) for end in ends) or self.low >= self.high:
            raise ValueError(f"no scale from {self.low} to {self.high}")


def kl_scale(rows: Iterable[Sequence[float | None]]) -> StripScale:
    """The logarithmic scale of the decades present in all rows, rounded outward.

    Args:
        rows: KL per chunk in nats, one sequence a setting; zero, negative and non-finite values
            do not count.
    """
    low, high = decades(value for row in rows for value in _ends(row)) or _DEFAULT_DECADES
    return StripScale(power_of_ten(low), power_of_ten(high), log=True)


def flips_scale(rows: Iterable[Sequence[float | None]]) -> StripScale:
    """The linear scale from 0 to the largest finite value of all rows; to 1 where there is none.

    Args:
        rows: Flips per chunk, as counts or as shares.
    """
    largest = max(
        (value for row in rows for value in _ends(row) if placeable(value, log=False)), default=0.0
    )
    return StripScale(0.0, largest if largest > 0 else 1.0, log=False)


def _ends(row: Sequence[float | None]) -> Sequence[float | None]:
    """The least and the largest value, which say as much as all; all where one is odd.

    Tables ask ten times a second for thousands of values: odd ones are looked for at C's speed.
    """
    known = cast("Sequence[float]", row)
    try:
        if row and math.isfinite(sum(known)) and min(known) > 0:
            return min(known), max(known)
    except TypeError:
        # None stands for a value that is missing.
        pass
    return row


def strip(values: Sequence[float | None], width: int, height: int, scale: StripScale) -> list[str]:
    """The values as lines of block characters.

    A value at or below the scale's low end is ``_``, NaN or None ``·``, +inf a full column ending
    in ``^``. Heights never fall where values rise.

    Args:
        values: One cell each, oldest first; the last ``width`` of them are shown.
        width: Cells of every line; cells without a value stay blank, at the right.
        height: Number of lines.
        scale: Shared by all strips that are to be compared.

    Returns:
        ``height`` strings of exactly ``width`` cells, the top one first.
    """
    width, height = max(width, 0), max(height, 0)
    shown = values[-width:] if width else values[:0]
    columns = [column(value, height, scale) for value in shown]
    pad = " " * (width - len(columns))
    return ["".join(column[row] for column in columns) + pad for row in range(height)]


def scale_label(scale: StripScale) -> str:
    """Both ends of the scale in words: ``1e-4 … 1``."""
    if not scale.log:
        return f"{scale.low:.3g} … {scale.high:.3g}"
    return f"{_log_text(scale.low)} … {_log_text(scale.high)}"


def _log_text(value: float) -> str:
    exponent = round(math.log10(value))
    return decade_text(exponent) if value == power_of_ten(exponent) else f"{value:.3g}"


def column(value: float | None, height: int, scale: StripScale) -> str:
    """One value as ``height`` characters, the top one first; signs as in :func:`strip`."""
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
