"""Correctly rounded sums of arrays, equal to ``math.fsum`` but without a Python list.

A report sums a million positions dozens of times, and an interrupted run waits for its report.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Significands are split into halves of 26 bits; a block of halves adds up exactly in float64.
_HALF = 26
_BLOCK = 1 << 20
# Above this, a scaled sum of halves could overflow although the whole sum does not.
_LARGEST = 2.0**900


def exact_sum(values: NDArray[np.float64]) -> float:
    """Return the correctly rounded sum, which does not depend on the order of the values.

    Args:
        values: (N,) float64; infinities and NaN are treated as in ``math.fsum``.

    Raises:
        OverflowError: The sum is finite but too large for a float64.
        ValueError: The values hold infinities of both signs.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not largest < _LARGEST:
        return math.fsum(values.tolist())
    parts: list[float] = []
    for start in range(0, len(values), _BLOCK):
        parts += _exact_parts(values[start : start + _BLOCK])
    return math.fsum(parts)


def _exact_parts(values: NDArray[np.float64]) -> list[float]:
    """Return a few floats with the same sum: halves of significands, added by exponent."""
    fraction, exponent = np.frexp(values)
    high = np.floor(np.ldexp(fraction, 53 - _HALF))
    low = np.ldexp(fraction, 53) - np.ldexp(high, _HALF)
    least = int(exponent.min())
    which = exponent - least
    scale = np.arange(int(which.max()) + 1) + least
    return [
        *np.ldexp(np.bincount(which, weights=high), scale - 53 + _HALF).tolist(),
        *np.ldexp(np.bincount(which, weights=low), scale - 53).tolist(),
    ]
