"""Verdicts from thresholds, and the thresholds that an interval leaves open.

Standard library only: the app shows live verdicts before numpy is imported. The thresholds are
those of mlx-quant-fidelity 0.10.0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scorer.spec.thresholds import KV, METRICS, TIERS, WEIGHTS, Metric, Thresholds, Verdict
from scorer.stats.intervals import Interval


@dataclass(frozen=True, slots=True)
class OpenBound:
    """A threshold inside the interval of its metric that can change the verdict.

    Attributes:
        metric: The metric.
        tier: The tier of the threshold: ``good`` or ``marginal``.
        threshold: The threshold, in the metric's unit.
        value: The point estimate.
        interval: Its 95 % interval, which contains the threshold.
        more_chunks: Estimated number of further chunks that settle it; None if the point estimate
            equals the threshold, which no number of chunks settles.
    """

    metric: Metric
    tier: Verdict
    threshold: float
    value: float
    interval: Interval
    more_chunks: int | None


def tier_rank(verdict: Verdict) -> int:
    """Return 0 for bad, 1 for marginal, 2 for good."""
    return TIERS.index(verdict)


def _metric_rank(metric: Metric, value: float, thresholds: Thresholds) -> int:
    """Return the rank of the best tier that one metric allows; bounds are inclusive, NaN is bad."""
    if value <= getattr(thresholds.good, metric):
        return 2
    return 1 if value <= getattr(thresholds.marginal, metric) else 0


def verdict_of(kl_mean: float, kl_p99: float, flip_rate: float, thresholds: Thresholds) -> Verdict:
    """Return the best tier whose three bounds all hold; bounds are inclusive, NaN is bad.

    Args:
        kl_mean: Mean KL, nats.
        kl_p99: 99th percentile of KL, nats.
        flip_rate: Share of flips, 0 to 1.
        thresholds: ``KV`` or ``WEIGHTS``.
    """
    values = zip(METRICS, (kl_mean, kl_p99, flip_rate), strict=True)
    return TIERS[min(_metric_rank(metric, value, thresholds) for metric, value in values)]


def weights_verdict(kl_mean: float, kl_p99: float, flip_rate: float) -> Verdict:
    """Return the verdict on quantized weights; arguments as in :func:`verdict_of`."""
    return verdict_of(kl_mean, kl_p99, flip_rate, WEIGHTS)


@dataclass(frozen=True, slots=True)
class HeldBound:
    """A bound of the next better tier that the point estimate of a metric exceeds.

    Attributes:
        metric: The metric.
        tier: The tier that is missed.
        threshold: Its bound, in the metric's unit.
        value: The point estimate.
    """

    metric: Metric
    tier: Verdict
    threshold: float
    value: float


def held_by(values: Mapping[Metric, float], thresholds: Thresholds = KV) -> list[HeldBound]:
    """Return the bounds that keep a verdict from the next better tier; empty for ``good``.

    Args:
        values: Point estimate of each metric.
        thresholds: ``KV`` or ``WEIGHTS``.
    """
    better = 1 + min(_metric_rank(m, values[m], thresholds) for m in METRICS)
    if better == len(TIERS):
        return []
    bounds = thresholds.good if TIERS[better] == "good" else thresholds.marginal
    return [
        HeldBound(m, TIERS[better], getattr(bounds, m), values[m])
        for m in METRICS
        if _metric_rank(m, values[m], thresholds) < better
    ]


def open_bounds(
    values: Mapping[Metric, float],
    intervals: Mapping[Metric, Interval | None],
    n_chunks: int,
    thresholds: Thresholds = KV,
) -> list[OpenBound]:
    """Return the thresholds that lie inside intervals and can change the verdict.

    A bound is open only if its metric can change the verdict. If the flip rate is clearly marginal,
    an interval of KL mean across the bound of ``good`` does not leave the verdict open.

    Args:
        values: Point estimate of each metric.
        intervals: 95 % interval of each metric, None without one.
        n_chunks: Number of chunks of the estimates.
        thresholds: ``KV`` or ``WEIGHTS``.

    Returns:
        The open bounds, empty if the verdict is settled. Bounds that could lower the verdict come
        before those that could raise it.
    """
    ends = {
        metric: intervals.get(metric) or Interval(values[metric], values[metric])
        for metric in METRICS
    }
    rank = {m: _metric_rank(m, values[m], thresholds) for m in METRICS}
    best = {m: _metric_rank(m, ends[m].low, thresholds) for m in METRICS}
    worst = {m: _metric_rank(m, ends[m].high, thresholds) for m in METRICS}
    now = min(rank.values())
    found = [
        _open(m, tier, values[m], ends[m], n_chunks, thresholds)
        for m in METRICS
        for tier in range(now, worst[m], -1)
    ]
    # The verdict can rise only if every metric that limits it can.
    for tier in range(now + 1, min(best.values()) + 1):
        found += [
            _open(m, tier, values[m], ends[m], n_chunks, thresholds)
            for m in METRICS
            if rank[m] < tier
        ]
    return found


def _open(
    metric: Metric,
    tier: int,
    value: float,
    interval: Interval,
    n_chunks: int,
    thresholds: Thresholds,
) -> OpenBound:
    threshold: float = getattr(thresholds.good if tier == 2 else thresholds.marginal, metric)
    more = chunks_to_settle(value, interval, threshold, n_chunks)
    return OpenBound(metric, TIERS[tier], threshold, value, interval, more)


def chunks_to_settle(
    value: float, interval: Interval, threshold: float, n_chunks: int
) -> int | None:
    """Estimate how many more chunks move the end of the interval to the threshold.

    ``m · (half-width / distance)² − m``, because widths shrink with the square root of the number
    of chunks. The half-width on the threshold's side is used; bootstrap intervals have two.

    Returns:
        A number of chunks, at least 1; None if the estimate equals the threshold or the interval
        is infinite.
    """
    distance = abs(threshold - value)
    half_width = interval.high - value if value <= threshold else value - interval.low
    if distance == 0 or not math.isfinite(half_width) or not math.isfinite(distance):
        return None
    try:
        more = n_chunks * (half_width / distance) ** 2 - n_chunks
        # Rounded before ceil: a rounding error in the last bit must not add a chunk.
        return max(1, math.ceil(round(more, 6)))
    except OverflowError:
        return None


def shown_verdict(verdict: Verdict, is_open: bool) -> str:
    """Return the verdict as it is shown: ``good?`` if an interval leaves it open."""
    return f"{verdict}?" if is_open else verdict
