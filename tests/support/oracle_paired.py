"""Independent intervals of shares and of differences of paired shares, in float64.

Ends of score intervals are found by bisection, correlations from the items themselves, coverage by
summing over every table.
"""

from __future__ import annotations

import itertools
import math
from statistics import NormalDist

import numpy as np


def score_interval(count: int, n: int, confidence: float = 0.95) -> tuple[float, float]:
    """The shares p with |count/n − p| ≤ z · sqrt(p (1 − p) / n), by bisection."""
    found, z = count / n, NormalDist().inv_cdf((1 + confidence) / 2)

    def outside(p: float) -> bool:
        return abs(found - p) > z * math.sqrt(p * (1 - p) / n)

    def end(inner: float, outer: float) -> float:
        if not outside(outer):
            return outer
        for _ in range(200):
            middle = (inner + outer) / 2
            inner, outer = (inner, middle) if outside(middle) else (middle, outer)
        return inner

    return end(found, 0.0), end(found, 1.0)


def paired_interval(first: list[bool], second: list[bool]) -> tuple[float, float]:
    """Newcombe's method 10 for the share of ``second`` less that of ``first``, from the items."""
    x, y = np.array(second, float), np.array(first, float)
    n = len(x)
    p, q = float(x.mean()), float(y.mean())
    covariance = float((x * y).mean() - p * q) * n * n
    if covariance > 0:
        covariance = max(covariance - n / 2, 0.0)
    spread = n * n * math.sqrt(p * (1 - p) * q * (1 - q))
    phi = covariance / spread if spread else 0.0
    (low_p, high_p), (low_q, high_q) = (score_interval(round(s * n), n) for s in (p, q))

    def width(a: float, b: float) -> float:
        return math.sqrt(np.array([a, -b]) @ np.array([[1, phi], [phi, 1]]) @ np.array([a, -b]))

    return p - q - width(p - low_p, high_q - q), p - q + width(high_p - p, q - low_q)


def mcnemar(first: int, second: int) -> float:
    """Two-sided exact p-value by enumerating who is right about each item that differs."""
    n = first + second
    if n == 0:
        return 1.0
    extreme = sum(
        max(sum(each), n - sum(each)) >= max(first, second)
        for each in itertools.product((0, 1), repeat=n)
    )
    return extreme / 2**n


def table_probabilities(
    n: int, p: tuple[float, float, float, float]
) -> list[tuple[int, int, int, int, float]]:
    """Every 2 × 2 table of n items and its probability."""
    logs = [math.lgamma(k + 1) for k in range(n + 1)]
    found = []
    for a in range(n + 1):
        for b in range(n + 1 - a):
            for c in range(n + 1 - a - b):
                d = n - a - b - c
                log = logs[n] - logs[a] - logs[b] - logs[c] - logs[d]
                log += sum(k * math.log(q) for k, q in zip((a, b, c, d), p, strict=True) if k)
                found.append((a, b, c, d, math.exp(log)))
    return found
