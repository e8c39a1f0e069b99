"""Quantiles by linear interpolation, exact also for values of +inf."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

KL_LADDER: dict[str, float] = {
    "max": 1.0,
    "p99.9": 0.999,
    "p99": 0.99,
    "p95": 0.95,
    "p90": 0.9,
    "median": 0.5,
    "p10": 0.1,
    "p5": 0.05,
    "p1": 0.01,
    "min": 0.0,
}
DELTA_P_LADDER: dict[str, float] = {
    "max": 1.0,
    "p99.9": 0.999,
    "p99": 0.99,
    "p95": 0.95,
    "p90": 0.9,
    "p75": 0.75,
    "median": 0.5,
    "p25": 0.25,
    "p10": 0.1,
    "p5": 0.05,
    "p1": 0.01,
    "p0.1": 0.001,
    "min": 0.0,
}


def interpolate(low: float, high: float, weight: float) -> float:
    """Interpolate linearly between ``low`` (weight 0) and ``high`` (weight 1).

    An infinite value with weight zero has no effect. Finite values are rounded as in NumPy's
    ``quantile``, so that both agree bit for bit.
    """
    if weight == 0 or low == high:
        return low
    if math.isinf(high):
        return high
    step = high - low
    return high - step * (1 - weight) if weight >= 0.5 else low + step * weight


def sorted_quantile(ordered: NDArray[np.float64], fraction: float) -> float:
    """Return the value at index ``(N − 1) · fraction`` of sorted values, interpolated.

    Args:
        ordered: (N,) float64, ascending, N at least 1; may end in +inf.
        fraction: 0 for the minimum to 1 for the maximum.
    """
    below, above, weight = _place(len(ordered), fraction)
    return interpolate(float(ordered[below]), float(ordered[above]), weight)


def ladder(values: NDArray[np.float64], fractions: dict[str, float]) -> dict[str, float]:
    """Return several quantiles by name, in the order of ``fractions``.

    Args:
        values: (N,) float64 in any order, N at least 1.
        fractions: Name to fraction, 0 to 1.
    """
    ordered = np.sort(values)
    return {name: sorted_quantile(ordered, fraction) for name, fraction in fractions.items()}


def quantile(values: NDArray[np.float64], fraction: float) -> float:
    """Return one quantile; see :func:`sorted_quantile`.

    Args:
        values: (N,) float64 in any order, N at least 1.
        fraction: 0 for the minimum to 1 for the maximum.
    """
    below, above, weight = _place(len(values), fraction)
    # All values are sorted no further than these two need.
    parted = np.partition(values, (below, above))
    return interpolate(float(parted[below]), float(parted[above]), weight)


def _place(size: int, fraction: float) -> tuple[int, int, float]:
    """The two neighbours of index ``(N − 1) · fraction``, and the weight of the second."""
    index = (size - 1) * fraction
    below = math.floor(index)
    return below, min(below + 1, size - 1), index - below
