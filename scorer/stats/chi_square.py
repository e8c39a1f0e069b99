"""Quantiles of the chi-square distribution for integer degrees of freedom. Standard library."""

from __future__ import annotations

import math


def below(x: float, df: int) -> float:
    """Return P(X < x) for X of the chi-square distribution.

    Args:
        x: At least 0.
        df: Degrees of freedom, at least 1.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 6.5.29: a series of positive
    terms for the incomplete gamma function.
    """
    if x <= 0:
        return 0.0
    half, shape = x / 2, df / 2
    term = math.exp(shape * math.log(half) - half - math.lgamma(shape + 1))
    total, k = 0.0, shape
    while term > total * 1e-17:
        total += term
        k += 1
        term *= half / k
    return min(total, 1.0)


def chi_square_quantile(probability: float, df: int) -> float:
    """Return the quantile of the chi-square distribution, by bisection.

    Args:
        probability: Strictly between 0 and 1.
        df: Degrees of freedom, at least 1.

    Raises:
        ValueError: An argument is outside its range.
    """
    if not 0 < probability < 1 or df < 1:
        raise ValueError(
            f"no chi-square quantile at probability {probability} with {df} degrees of freedom"
        )
    low, high = 0.0, float(df)
    while below(high, df) < probability:
        high *= 2
    while low < (middle := (low + high) / 2) < high:
        if below(middle, df) < probability:
            low = middle
        else:
            high = middle
    return high
