"""Correctly rounded sums of arrays, equal to ``math.fsum`` but without a Python list.

A report sums a million positions dozens of times, and an interrupted run waits for its report.

Each value is cut at a bit that is the same for a whole block: the upper parts have so few bits that
they add up exactly in float64, in any order, and the rest is cut again until nothing is left.

Source: Rump, Ogita and Oishi, "Accurate Floating-Point Summation Part I: Faithful Rounding", 2008,
section 3 (``ExtractVector``).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import chain

import numpy as np
from numpy.typing import NDArray

# A block stays in the cache of a core while it is cut several times.
_BLOCK = 1 << 14
# Above this, the bit at which values are cut could overflow although their sum does not.
_LARGEST = 2.0**900


def exact_sum(values: NDArray[np.float64]) -> float:
    """Return the correctly rounded sum, which does not depend on the order of the values.

    Args:
        values: (N,) float64; infinities and NaN are treated as in ``math.fsum``.

    Raises:
        OverflowError: The sum is finite but too large for a float64.
        ValueError: The values hold infinities of both signs.
    """
    blocks = [values[start : start + _BLOCK] for start in range(0, len(values), _BLOCK)]
    # Written so that NaN is not below it.
    if not all(_largest(block) < _LARGEST for block in blocks):
        return math.fsum(chain.from_iterable(block.tolist() for block in blocks))
    return math.fsum(chain.from_iterable(map(_exact_parts, blocks)))


def exact_row_sums(values: NDArray[np.float64]) -> list[float]:
    """Return what :func:`exact_sum` returns for each row.

    Args:
        values: (M, N) float64.

    Raises:
        OverflowError, ValueError: As :func:`exact_sum`.
    """
    at_once = max(1, _BLOCK // max(1, values.shape[1]))
    sums: list[float] = []
    for start in range(0, len(values), at_once):
        rows = values[start : start + at_once]
        if values.shape[1] and _largest(rows) < _LARGEST:
            parts = np.array(list(_parts_of_rows(rows))).reshape(-1, len(rows))
            sums += map(math.fsum, parts.T.tolist())
        else:
            sums += map(exact_sum, rows)
    return sums


def _exact_parts(values: NDArray[np.float64]) -> Iterator[float]:
    """Yield a few floats with the same sum."""
    for parts in _parts_of_rows(values[None, :]):
        yield float(parts[0])


def _parts_of_rows(rows: NDArray[np.float64]) -> Iterator[NDArray[np.float64]]:
    """Yield (M,) float64 a few times; the sum of what is yielded for a row is that of the row.

    Args:
        rows: (M, N) float64, N at least 1, below ``_LARGEST``.
    """
    room = math.ceil(math.log2(rows.shape[1] + 2))
    rest = rows
    while True:
        largest = np.maximum(rest.max(axis=1), -rest.min(axis=1))
        if not largest.any():
            return
        # A power of two above the sum of the row's absolute values; any for a row of zeros.
        cut = np.ldexp(1.0, room + np.frexp(largest)[1])[:, None]
        upper = rest + cut
        upper -= cut
        yield upper.sum(axis=1)
        rest = rest - upper


def _largest(values: NDArray[np.float64]) -> float:
    """Return the largest absolute value; NaN if one is NaN."""
    return max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))
