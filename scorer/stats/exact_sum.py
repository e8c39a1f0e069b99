"""Correctly rounded sums of many numbers, as ``math.fsum`` gives them, without a list of them.

A report sums a million positions dozens of times, and a run that is interrupted waits for it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Halves of a significand: so many of them add up without rounding in a float64.
_HALF = 26
_BLOCK = 1 << 20
# Beyond it a sum of halves, scaled back, might overflow where the whole sum does not.
_LARGEST = 2.0**900


def exact_sum(values: NDArray[np.float64]) -> float:
    """The sum, rounded once; the same for every order of the values.

    Args:
        values: (N,) float64; may hold infinities and NaN, which do as in ``math.fsum``.

    Raises:
        OverflowError: The sum is finite and too large for a float64.
        ValueError: It holds infinities of both signs.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if not largest < _LARGEST:
        return math.fsum(values.tolist())
    parts: list[float] = []
    for start in range(0, len(values), _BLOCK):
        parts += _exact_parts(values[start : start + _BLOCK])
    return math.fsum(parts)


def _exact_parts(values: NDArray[np.float64]) -> list[float]:
    """Few numbers with the same sum: significands are integers, added up by exponent in halves."""
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
