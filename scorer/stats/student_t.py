"""Quantiles of Student's t distribution for integer degrees of freedom. Standard library only."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist


def central_probability(t: float, df: int) -> float:
    """Return P(|T| < t) for T of Student's t distribution.

    Uses the finite series for integer degrees of freedom. All terms are positive, so the result is
    accurate to a few units in the last place.

    Args:
        t: Bound, at least 0.
        df: Degrees of freedom, at least 1.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 and 26.7.4.
    """
    theta = math.atan2(t, math.sqrt(df))
    cos2 = df / (df + t * t)
    odd = df % 2
    term = math.cos(theta) if odd else 1.0
    total = term if df > 1 else 0.0
    for k in range(2 + odd, df - 1, 2):
        term *= (k - 1) / k * cos2
        total += term
        if term < total * 1e-18:
            break
    if odd:
        return 2 / math.pi * (theta + math.sin(theta) * total)
    return math.sin(theta) * total


def _density(t: float, df: int) -> float:
    log_norm = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    return math.exp(log_norm - (df + 1) / 2 * math.log1p(t * t / df))


@lru_cache(maxsize=4096)
def t_quantile(probability: float, df: int) -> float:
    """Return the quantile of Student's t distribution.

    Newton's method, starting at the normal quantile: t has the heavier tail and its distribution
    function is concave above 0, so the steps approach the root from below without overshooting.

    Args:
        probability: Strictly between 0 and 1.
        df: Degrees of freedom, at least 1.

    Raises:
        ValueError: An argument is outside its range.
    """
    if not 0 < probability < 1 or df < 1:
        raise ValueError(f"no t quantile at probability {probability} with {df} degrees of freedom")
    if probability < 0.5:
        return -t_quantile(1 - probability, df)
    wanted = 2 * probability - 1
    t = NormalDist().inv_cdf(probability)
    for _ in range(200):
        step = (wanted - central_probability(t, df)) / (2 * _density(t, df))
        if not step > 1e-15 * t:
            break
        t += step
    return t
