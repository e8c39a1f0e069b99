"""95 % intervals of proportions over correlated positions, right also near 0 and near 1.

``p ± t · error`` has no width where nothing flips and reaches below 0 where little does. Wilson's
interval does neither. Standard library only: the app shows live intervals before numpy is imported.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scorer.stats.intervals import CONFIDENCE, ClusteredMean, Interval
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
    counted: ClusteredMean | None, size: int, kl: ClusteredMean | None, kl_squares: float
) -> Proportion | None:
    """Return a share of positions with its effective size.

    The design effect is that of the counted positions. With none of the positions counted, or all
    of them, there is no such thing, and that of the KL mean over the same positions takes its
    place; if a KL is infinite, each unit counts as one position.

    Args:
        counted: Mean of what is 1 at counted positions and 0 elsewhere.
        size: Number of positions.
        kl: Mean of KL over the same positions, nats; None if one is infinite.
        kl_squares: Sum of the squares of KL over all positions, nats².

    Returns:
        The share; None without a mean.
    """
    if counted is None:
        return None
    share = counted.mean
    if 0 < share < 1:
        effect = design_effect(counted, share * (1 - share), size)
    elif kl is None or not math.isfinite(kl_squares):
        effect = size / counted.units
    else:
        effect = design_effect(kl, kl_squares / size - kl.mean**2, size)
    return Proportion(share, max(1.0, size / effect), counted.units)
