"""Verdicts from thresholds, and the thresholds that an interval leaves open.

Standard library only: the app shows live verdicts before numpy is imported. The thresholds are
those of mlx-quant-fidelity 0.10.0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scorer.spec.thresholds import KV, METRICS, TIERS, WEIGHTS, Metric, Thresholds, Verdict
from scorer.stats.intervals import ClusteredMean, Interval
from scorer.stats.proportions import Proportion
from scorer.stats.settling import Outlook, by_students_t, chunks_to_settle

P99_POSITIONS = 200
"""Scored positions below which the 99th percentile has no interval."""
Lack = Literal["one chunk", "few positions", "no width", "no look", "few units"]
"""Why a metric has no usable interval."""


@dataclass(frozen=True, slots=True)
class OpenBound:
    """A threshold inside the interval of its metric that can change the verdict.

    Attributes:
        metric: The metric.
        tier: The tier of the threshold: ``good`` or ``marginal``.
        threshold: The threshold, in the metric's unit.
        value: The point estimate.
        interval: Its 95 % interval, which contains the threshold unless rounding alone could move
            the estimate across it.
        more_chunks: Estimated number of further chunks that settle it; None if no number does: the
            point estimate equals the threshold, or rounding could move it across.
        below_noise_floor: Rounding could move the estimate across: the threshold is nearer than
            the upper end of the noise floor.
    """

    metric: Metric
    tier: Verdict
    threshold: float
    value: float
    interval: Interval
    more_chunks: int | None
    below_noise_floor: bool = False


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


@dataclass(frozen=True, slots=True)
class MissingInterval:
    """A metric without a usable interval: nothing is known of how far its estimate may be off.

    Attributes:
        metric: The metric.
        why: ``one chunk``, ``few positions`` (fewer than 200, for p99), or ``no width`` (all chunks
            are equal in it). In a run that stops once it is settled also ``no look`` (none is over)
            and ``few units`` (fewer than 5 at the last one).
    """

    metric: Metric
    why: Lack


@dataclass(frozen=True, slots=True)
class Estimate:
    """A metric as far as it is known.

    Attributes:
        value: The point estimate.
        interval: Its 95 % interval; None without one.
        basis: What the interval is made of; None for a bootstrap.
        noise: Upper end of its noise floor: how far rounding can move it; 0 where not measured.
        lack: Why there is no interval, where that is known already.
    """

    value: float
    interval: Interval | None
    basis: ClusteredMean | Proportion | None = None
    noise: float = 0.0
    lack: Lack | None = None


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict and what is open about it.

    Attributes:
        verdict: Tier by the point estimates.
        held_by: What keeps it from the next better tier.
        open_bounds: Thresholds that leave it open. Those that could lower the verdict come before
            those that could raise it.
        without_interval: Metrics without a usable interval, which leave it open too.
    """

    verdict: Verdict
    held_by: tuple[HeldBound, ...]
    open_bounds: tuple[OpenBound, ...]
    without_interval: tuple[MissingInterval, ...]

    @property
    def is_open(self) -> bool:
        """Whether more chunks could show another verdict."""
        return is_open(self.open_bounds, self.without_interval)

    @property
    def more_chunks(self) -> int | None:
        """About how many more chunks would settle it, see :func:`more_chunks`."""
        return more_chunks(self.open_bounds, self.without_interval)


def is_open(bounds: Sequence[OpenBound], lacking: Sequence[MissingInterval]) -> bool:
    """Return whether a verdict is open."""
    return bool(bounds or lacking)


def more_chunks(bounds: Sequence[OpenBound], lacking: Sequence[MissingInterval]) -> int | None:
    """Return about how many more chunks would settle all that is open.

    Returns:
        A number of chunks; None where the verdict is settled, or the number is not known, or no
        number of chunks would do.
    """
    needed = [bound.more_chunks for bound in bounds]
    known = [chunks for chunks in needed if chunks is not None]
    return max(known) if known and not lacking and len(known) == len(needed) else None


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


def judge(
    estimates: Mapping[Metric, Estimate],
    n_positions: int,
    outlook: Outlook,
    thresholds: Thresholds = KV,
) -> Judgement:
    """Return the verdict, and what leaves it open.

    It is open if a metric has no usable interval, or if a threshold lies inside an interval and
    could change the verdict. If the flip rate is clearly marginal, an interval of KL mean across
    the bound of ``good`` does not leave it open. An infinite KL is no matter of chance: its
    metric is settled, from two chunks on.

    Args:
        estimates: What is known of each metric.
        n_positions: Number of scored positions.
        outlook: The chunks scored and planned.
        thresholds: ``KV`` or ``WEIGHTS``.
    """
    values = {metric: estimates[metric].value for metric in METRICS}
    lacking = tuple(
        MissingInterval(metric, why)
        for metric in METRICS
        if (why := _lack(metric, estimates[metric], n_positions, outlook.chunks)) is not None
    )
    return Judgement(
        verdict=verdict_of(**values, thresholds=thresholds),
        held_by=tuple(held_by(values, thresholds)),
        open_bounds=tuple(_open_bounds(estimates, outlook, thresholds)),
        without_interval=lacking,
    )


def _lack(metric: Metric, estimate: Estimate, n_positions: int, n_chunks: int) -> Lack | None:
    if n_chunks < 2:
        return "one chunk"
    if not math.isfinite(estimate.value):
        return None
    if estimate.lack is not None:
        return estimate.lack
    if metric == "kl_p99" and n_positions < P99_POSITIONS:
        return "few positions"
    ends = estimate.interval
    return None if ends is not None and ends.low < ends.high else "no width"


def _open_bounds(
    estimates: Mapping[Metric, Estimate], outlook: Outlook, thresholds: Thresholds
) -> list[OpenBound]:
    """The thresholds inside intervals, widened to the noise floor, that can change the verdict."""
    ends = {metric: _ends(estimates[metric]) for metric in METRICS}
    rank = {m: _metric_rank(m, estimates[m].value, thresholds) for m in METRICS}
    best = {m: _metric_rank(m, ends[m].low, thresholds) for m in METRICS}
    worst = {m: _metric_rank(m, ends[m].high, thresholds) for m in METRICS}
    now = min(rank.values())
    found = [
        _open(m, tier, estimates[m], outlook, thresholds)
        for m in METRICS
        for tier in range(now, worst[m], -1)
    ]
    # The verdict can rise only if every metric that limits it can.
    for tier in range(now + 1, min(best.values()) + 1):
        found += [
            _open(m, tier, estimates[m], outlook, thresholds) for m in METRICS if rank[m] < tier
        ]
    return found


def _ends(estimate: Estimate) -> Interval:
    value, noise = estimate.value, estimate.noise
    ends = estimate.interval or Interval(value, value)
    return Interval(min(ends.low, value - noise), max(ends.high, value + noise))


def _open(
    metric: Metric, tier: int, estimate: Estimate, outlook: Outlook, thresholds: Thresholds
) -> OpenBound:
    threshold: float = getattr(thresholds.good if tier == 2 else thresholds.marginal, metric)
    value, ends = estimate.value, estimate.interval or Interval(estimate.value, estimate.value)
    noisy = abs(threshold - value) < estimate.noise
    more = None if noisy else _more(estimate, threshold, outlook)
    return OpenBound(metric, TIERS[tier], threshold, value, ends, more, noisy)


def _more(estimate: Estimate, threshold: float, outlook: Outlook) -> int | None:
    """Chunks that move the end of the interval to the threshold, as the interval is made."""
    value, basis, ends = estimate.value, estimate.basis, estimate.interval
    distance = abs(threshold - value)
    if isinstance(basis, ClusteredMean):
        return chunks_to_settle(basis.error, distance, outlook, by_students_t(outlook))
    if isinstance(basis, Proportion):
        error = basis.error_at(threshold)
        return chunks_to_settle(error, distance, outlook, by_students_t(outlook))
    if ends is None:
        return None
    half_width = ends.high - value if value <= threshold else value - ends.low
    return chunks_to_settle(half_width, distance, outlook)


def shown_verdict(verdict: Verdict, is_open: bool) -> str:
    """Return the verdict as it is shown: ``good?`` if an interval leaves it open."""
    return f"{verdict}?" if is_open else verdict
