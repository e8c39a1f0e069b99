"""95 % intervals of proportions over correlated positions, right also near 0 and near 1.

``p ± t · error`` has no width where nothing flips and reaches below 0 where little does. Wilson's
interval does neither. Standard library only: the app shows live intervals before numpy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scorer.stats.intervals import CONFIDENCE, ClusteredMean, Interval, Units, clustered_mean
from scorer.stats.student_t import t_quantile


@dataclass(frozen=True, slots=True)
class Proportion:
    """A share of positions, and how many independent ones it is worth.

    Attributes:
        share: 0 to 1.
        effective_size: Positions divided by the design effect, at least 1.
        units: Number of independent units, at least 2.
    """

    share: float
    effective_size: float
    units: int

    def interval(self, confidence: float = CONFIDENCE) -> Interval:
        """Return Wilson's interval on the effective size, with Student's t for the normal quantile.

        Args:
            confidence: Between 0 and 1.

        Source: Wilson 1927; for clustered data Dean and Pagano, "Evaluating Confidence Interval
        Methods for Binomial Proportions in Clustered Surveys", 2015.
        """
        t = t_quantile((1 + confidence) / 2, self.units - 1)
        p, n = self.share, self.effective_size
        weight = 1 + t * t / n
        center = (p + t * t / (2 * n)) / weight
        half_width = t / weight * math.sqrt(p * (1 - p) / n + t * t / (4 * n * n))
        low, high = center - half_width, center + half_width
        # At 0 and at 1 rounding would leave an end a little off.
        return Interval(
            0.0 if p == 0 else min(max(low, 0.0), p), 1.0 if p == 1 else max(min(high, 1.0), p)
        )

    def error_at(self, share: float) -> float:
        """Return the standard error that the share would have at another value.

        A bound lies outside Wilson's interval if the share is more than ``t`` of these away.

        Args:
            share: The bound, 0 to 1.
        """
        return math.sqrt(share * (1 - share) / self.effective_size)


def design_effect(mean: ClusteredMean, variance: float, size: int) -> float:
    """Return how many times the variance of a mean is that over independent positions; at least 1.

    Args:
        mean: The mean with its clustered error.
        variance: Variance of the positions.
        size: Number of positions.

    Source: Kish, Survey Sampling, 1965, 8.2.
    """
    independent = variance / size
    return max(1.0, mean.error**2 / independent) if independent > 0 else 1.0


def proportion(
    counts: Sequence[int],
    sizes: Sequence[int],
    units: Units,
    kl_sums: Sequence[float],
    kl_squares: float,
) -> Proportion | None:
    """Return a share of positions with its effective size.

    The design effect is that of the counts. With none of the positions counted, or all of them,
    there is no such thing, and that of the KL mean over the same positions takes its place.

    Args:
        counts: Positions of each chunk that are counted.
        sizes: Number of positions of each chunk.
        units: The units of the same chunks.
        kl_sums: Sum of KL over the positions of each chunk, nats.
        kl_squares: Sum of the squares of KL over all positions, nats².

    Returns:
        The share; None for fewer than 2 units.
    """
    found = clustered_mean(counts, sizes, units)
    if found is None:
        return None
    size, share = sum(sizes), found.mean
    if 0 < share < 1:
        effect = design_effect(found, share * (1 - share), size)
    else:
        effect = _effect_of_kl(kl_sums, kl_squares, sizes, units)
    return Proportion(share, max(1.0, size / effect), units.count)


def _effect_of_kl(
    sums: Sequence[float], squares: float, sizes: Sequence[int], units: Units
) -> float:
    """The design effect of the KL mean; where a KL is infinite, one unit counts as one position."""
    size = sum(sizes)
    mean = clustered_mean(sums, sizes, units)
    if mean is None or not math.isfinite(squares):
        return size / units.count
    return design_effect(mean, squares / size - mean.mean**2, size)
