"""Axes: decades, positions of values, ticks and their text.

Standard library only. Any float is accepted; the caller handles values without a position.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeGuard

# The smallest and the largest power of ten that a float64 holds (the former is subnormal).
_LOWEST_DECADE, _HIGHEST_DECADE = -323, 308
_LARGEST = sys.float_info.max
# Smaller ranges would underflow in the computation of ticks.
_SMALLEST = 1e-290
_ROOM = 0.04


def power_of_ten(exponent: int) -> float:
    """Return the float nearest to ``10 ** exponent``; ``10.0 ** exponent`` may be another one."""
    return float(f"1e{exponent}")


def placeable(value: float | None, *, log: bool) -> TypeGuard[float]:
    """Return whether an axis can show a value: finite, and positive if logarithmic."""
    return value is not None and math.isfinite(value) and (value > 0 or not log)


def decades(values: Iterable[float | None]) -> tuple[int, int] | None:
    """Return the exponents of the decades around the positive values, rounded outward.

    ``10 ** low`` is strictly less than the least value, so that a value equal to a power of ten is
    not drawn as below the scale. ``10 ** high`` may equal the largest value.

    Returns:
        ``low < high``; None if no value is finite and positive.
    """
    found = [value for value in values if placeable(value, log=True)]
    if not found:
        return None
    least, most = min(found), max(found)
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    # The logarithm is rounded, so compare with the powers themselves.
    if low > _LOWEST_DECADE and power_of_ten(low) >= least:
        low -= 1
    if high < _HIGHEST_DECADE and power_of_ten(high) < most:
        high += 1
    low = max(low, _LOWEST_DECADE)
    high = min(high, _HIGHEST_DECADE)
    if high <= low:
        # Below the lowest decade a power of ten is 0.
        low = max(high - 1, _LOWEST_DECADE)
        high = max(high, low + 1)
    return low, high


def fraction(value: float, low: float, high: float, *, log: bool) -> float:
    """Return the position of a placeable value between ``low`` (0) and ``high`` (1), clipped."""
    if value <= low:
        return 0.0
    if value >= high:
        return 1.0
    if not log:
        # Halved first: the difference of two finite floats may be infinite.
        return (value / 2 - low / 2) / (high / 2 - low / 2)
    start, end = math.log10(low), math.log10(high)
    # The logarithms of two adjacent floats may be equal.
    return (math.log10(value) - start) / (end - start) if end > start else 0.5


def decade_text(exponent: int) -> str:
    """Format a power of ten for a tick: ``1e-4``, ``1``, ``10``, ``1e3``."""
    return {0: "1", 1: "10", 2: "100"}.get(exponent, f"1e{exponent}")


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis with its ticks.

    Attributes:
        low: Lower end.
        high: Upper end, above ``low``.
        log: Whether the axis is logarithmic.
        ticks: Value and text of each, ascending, inside the axis.
    """

    low: float
    high: float
    log: bool
    ticks: tuple[tuple[float, str], ...]

    def place(self, value: float, steps: int) -> int:
        """Return the cell of a placeable value, 0 to ``steps - 1``."""
        share = fraction(value, self.low, self.high, log=self.log)
        return round(share * max(steps - 1, 0))


def log_axis(values: Iterable[float | None], most_ticks: int) -> Axis:
    """Return a logarithmic axis over the decades of the values, rounded outward.

    Args:
        values: The values to show; those that cannot be placed are ignored.
        most_ticks: Maximum number of ticks, at least 2.
    """
    low, high = decades(values) or (-4, 0)
    span = high - low
    stride = next(s for s in (1, 2, 5, 10, 20, 50, 100, 200, 700) if span / s <= max(most_ticks, 2))
    # Counted from the top, so that the top always has a tick.
    exponents = sorted(range(high, low - 1, -stride))
    ticks = tuple((power_of_ten(k), decade_text(k)) for k in exponents)
    return Axis(power_of_ten(low), power_of_ten(high), True, ticks)


def linear_axis(
    values: Iterable[float | None], most_ticks: int, *, from_zero: bool = False
) -> Axis:
    """Return a linear axis over the values with ticks at round numbers.

    Args:
        values: The values to show; those that cannot be placed are ignored.
        most_ticks: Maximum number of ticks, at least 2.
        from_zero: Go from 0 to the largest value, for bars; else leave a margin at both ends.
    """
    found = [value for value in values if placeable(value, log=False)]
    if from_zero:
        low, high = 0.0, max(found, default=0.0)
        high = high if high > _SMALLEST else 1.0
    else:
        low, high = min(found, default=0.0), max(found, default=1.0)
        # Halved: the difference of two finite floats may be infinite.
        room = 2 * _ROOM * (high / 2 - low / 2) or max(_ROOM * abs(high), _SMALLEST)
        low, high = max(low - room, -_LARGEST), min(high + room, _LARGEST)
    step = _round_step(low, high, max(most_ticks, 2))
    first, last = math.ceil(low / step), math.floor(high / step)
    ticks = {k * step: _tick_text(k * step, step) for k in range(first, last + 1)}
    inside = tuple((value, text) for value, text in ticks.items() if low <= value <= high)
    return Axis(low, high, False, inside or ((high, _tick_text(high, step)),))


def _round_step(low: float, high: float, most_ticks: int) -> float:
    """Return the smallest step, 1, 2 or 5 times a power of ten, with at most ``most_ticks``."""
    rough = max(high / most_ticks - low / most_ticks, _SMALLEST)
    power = math.floor(math.log10(rough))
    for exponent in range(power, min(power + 3, _HIGHEST_DECADE + 1)):
        for factor in (1, 2, 5):
            step = float(f"{factor}e{exponent}")
            if math.isfinite(step) and math.floor(high / step) - math.ceil(low / step) < most_ticks:
                return step
    return power_of_ten(_HIGHEST_DECADE)


def _tick_text(value: float, step: float) -> str:
    """Format a tick with the digits that the step needs; thousands as ``k``, millions as ``M``."""
    size = abs(value)
    for suffix, unit in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if unit <= size < 1e12:
            return f"{value / unit:.6g}{suffix}"
    if value == 0 or (step >= 1e-4 and size < 1e3):
        places = max(0, -math.floor(math.log10(step)))
        return "0" if value == 0 else f"{value:.{places}f}"
    return f"{value:.3g}"
