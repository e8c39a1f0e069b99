"""The definitions once more, in plain Python and exact fractions: what the tests compare with.

Nothing of ``scorer`` is imported and no array is used.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from fractions import Fraction

FRACTIONS = {
    "max": Fraction(1),
    "p99.9": Fraction(999, 1000),
    "p99": Fraction(99, 100),
    "p95": Fraction(95, 100),
    "p90": Fraction(9, 10),
    "p75": Fraction(3, 4),
    "median": Fraction(1, 2),
    "p25": Fraction(1, 4),
    "p10": Fraction(1, 10),
    "p5": Fraction(5, 100),
    "p1": Fraction(1, 100),
    "p0.1": Fraction(1, 1000),
    "min": Fraction(0),
}


def quantile(values: Sequence[float], fraction: Fraction) -> float:
    ordered = sorted(values)
    index = (len(ordered) - 1) * fraction
    below = index.numerator // index.denominator
    weight = index - below
    if weight == 0:
        return ordered[below]
    low, high = ordered[below], ordered[below + 1]
    if math.isinf(high):
        return high
    return float(Fraction(low) + (Fraction(high) - Fraction(low)) * weight)


def mean(values: Sequence[float]) -> float:
    if any(math.isinf(v) for v in values):
        return math.inf
    return float(sum(map(Fraction, values), Fraction(0)) / len(values))


def perplexity(nlls: Sequence[float]) -> float:
    return math.exp(mean(nlls))


def rms(values: Sequence[float]) -> float:
    return math.sqrt(mean([v * v for v in values]))


def correlation(x: Sequence[float], y: Sequence[float]) -> float:
    return statistics.correlation(x, y)


def depth_edges(n_depth: int) -> list[int]:
    """``linspace(0, T, spans + 1)`` truncated: exactly ``floor(i · T / spans)``."""
    spans = min(8, n_depth)
    return [i * n_depth // spans for i in range(spans + 1)]


def chunk_interval(means: Sequence[float], t: float) -> tuple[float, float]:
    """``mean ± t · sd / √m`` with the sample standard deviation."""
    half = t * statistics.stdev(means) / math.sqrt(len(means))
    return statistics.fmean(means) - half, statistics.fmean(means) + half


def cr1_interval(values: Sequence[float], clusters: Sequence[int], t: float) -> tuple[float, float]:
    """CR1 of a regression on a constant, written as the sandwich over single positions."""
    n, groups = len(values), sorted(set(clusters))
    centre = statistics.fmean(values)
    meat = sum(
        sum(v - centre for v, c in zip(values, clusters, strict=True) if c == g) ** 2
        for g in groups
    )
    bread = 1 / n
    g, k = len(groups), 1
    variance = g / (g - 1) * (n - 1) / (n - k) * bread * meat * bread
    half = t * math.sqrt(variance)
    return centre - half, centre + half


def verdict(kl_mean: float, kl_p99: float, flip_rate: float) -> str:
    if kl_mean <= 0.01 and kl_p99 <= 0.10 and flip_rate <= 0.01:
        return "good"
    if kl_mean <= 0.10 and kl_p99 <= 1.00 and flip_rate <= 0.05:
        return "marginal"
    return "bad"
