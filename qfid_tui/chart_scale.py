"""Where a number lands on an axis: decades, fractions, ticks and their text.

Pure standard library. Scales take any floats: what cannot be placed is left to the caller to mark.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeGuard

# The smallest and the largest power of ten that a float64 holds (the former is subnormal).
_LOWEST_DECADE, _HIGHEST_DECADE = -323, 308


def power_of_ten(exponent: int) -> float:
    """The float nearest to ``10 ** exponent``, which ``10.0 ** exponent`` is not always."""
    return float(f"1e{exponent}")


def placeable(value: float | None, *, log: bool) -> TypeGuard[float]:
    """Whether a value has a place on an axis: finite, and above zero on a logarithmic one."""
    return value is not None and math.isfinite(value) and (value > 0 or not log)


def decades(values: Iterable[float | None]) -> tuple[int, int] | None:
    """Exponents of the decades that hold the values above zero, rounded outward.

    The lower one lies strictly below the least value, so that a value on a decade's edge is not
    taken for one below the scale; the upper one may equal the largest value.

    Returns:
        ``low < high``; None where no value is finite and above zero.
    """
    found = [value for value in values if placeable(value, log=True)]
    if not found:
        return None
    least, most = min(found), max(found)
    low, high = math.floor(math.log10(least)), math.ceil(math.log10(most))
    # The logarithm is rounded; the powers themselves decide.
    if low > _LOWEST_DECADE and power_of_ten(low) >= least:
        low -= 1
    if high < _HIGHEST_DECADE and power_of_ten(high) < most:
        high += 1
    low = max(low, _LOWEST_DECADE)
    high = min(high, _HIGHEST_DECADE)
    if high <= low:
        low = high - 1
    return low, high


def fraction(value: float, low: float, high: float, *, log: bool) -> float:
    """How far a placeable value lies along the way from ``low`` to ``high``, 0 to 1, clipped."""
    if value <= low:
        return 0.0
    if value >= high:
        return 1.0
    if not log:
        # Halved first: the difference of two finite floats may be infinite.
        return (value / 2 - low / 2) / (high / 2 - low / 2)
    start, end = math.log10(low), math.log10(high)
    # Floats this close have one logarithm.
    return (math.log10(value) - start) / (end - start) if end > start else 0.5


def decade_text(exponent: int) -> str:
    """A power of ten as a tick shows it: ``1e-4``, ``1``, ``10``, ``1e3``."""
    return {0: "1", 1: "10", 2: "100"}.get(exponent, f"1e{exponent}")
