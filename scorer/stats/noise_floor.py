"""The noise floor of a setting, from the perturbed repeats of its chunks. Standard library only."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorer.spec.thresholds import Metric
from scorer.stats.chi_square import chi_square_quantile
from scorer.stats.intervals import CONFIDENCE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

KEPT_SHARE = 0.05
"""Share of a chunk's positions of which every repeat keeps the KL, the largest ones."""
_P99 = 0.99


@dataclass(frozen=True, slots=True)
class PerturbedRepeats:
    """What the perturbed repeats of one chunk came to, one entry a repeat.

    Attributes:
        kl_sums: Sum of KL over the chunk, nats.
        flips: Positions whose top token changed; empty where an older run did not keep them.
        largest: The largest KL of the chunk, nats, descending; empty likewise. See
            :func:`kept_positions`.
    """

    kl_sums: tuple[float, ...] = ()
    flips: tuple[int, ...] = ()
    largest: tuple[tuple[float, ...], ...] = ()

    def and_one(self, kl: NDArray[np.float64], flips: int) -> PerturbedRepeats:
        """Return these repeats and one more.

        Args:
            kl: (T,) float64, KL of the chunk's scored positions, nats.
            flips: Positions whose top token changed.
        """
        largest = tuple(sorted(kl.tolist(), reverse=True)[: kept_positions(len(kl))])
        return PerturbedRepeats(
            (*self.kl_sums, float(kl.sum())), (*self.flips, flips), (*self.largest, largest)
        )

    @property
    def is_finite(self) -> bool:
        """Whether no KL is infinite, so that the repeats have a spread."""
        return all(map(math.isfinite, self.kl_sums))


@dataclass(frozen=True, slots=True)
class NoiseOf:
    """How far rounding moves one metric, in its unit.

    Attributes:
        deviation: Sample standard deviation over the repeats.
        upper: Upper end of its 95 % interval.
    """

    deviation: float
    upper: float


@dataclass(frozen=True, slots=True, kw_only=True)
class NoiseFloor:
    """How far rounding moves the figures of a setting.

    Attributes:
        repeats: Perturbed repeats.
        kl_mean: Nats.
        kl_p99: Nats; None where an older run did not keep it.
        flip_rate: Share of positions; None likewise.
    """

    repeats: int
    kl_mean: NoiseOf
    kl_p99: NoiseOf | None = None
    flip_rate: NoiseOf | None = None

    def upper(self, metric: Metric) -> float:
        """Return the upper end of a metric's floor, in its unit; 0 where it is not known."""
        found: NoiseOf | None = getattr(self, metric)
        return 0.0 if found is None else found.upper


def kept_positions(positions: int) -> int:
    """Return how many of a chunk's largest KL a repeat keeps.

    Args:
        positions: Scored positions of the chunk.
    """
    return min(positions, max(8, math.ceil(KEPT_SHARE * positions)))


def noise_floor(chunks: Sequence[PerturbedRepeats], sizes: Sequence[int]) -> NoiseFloor | None:
    """Return the sample standard deviations over the perturbed repeats, with their upper ends.

    Args:
        chunks: The repeats of every chunk.
        sizes: Scored positions of each.

    Returns:
        The noise floor; None if a chunk has fewer than two repeats.
    """
    repeats = min((len(chunk.kl_sums) for chunk in chunks), default=0)
    positions = sum(sizes)
    if repeats < 2 or not positions:
        return None
    each = range(repeats)
    floor = NoiseFloor(
        repeats=repeats,
        kl_mean=_noise_of([math.fsum(c.kl_sums[k] for c in chunks) / positions for k in each]),
    )
    if any(len(c.flips) < repeats or len(c.largest) < repeats for c in chunks):
        return floor
    return NoiseFloor(
        repeats=repeats,
        kl_mean=floor.kl_mean,
        kl_p99=_noise_of([pooled_p99([c.largest[k] for c in chunks], positions) for k in each]),
        flip_rate=_noise_of([sum(c.flips[k] for c in chunks) / positions for k in each]),
    )


def _noise_of(values: Sequence[float]) -> NoiseOf:
    freedom = len(values) - 1
    deviation = statistics.stdev(values)
    least = chi_square_quantile((1 - CONFIDENCE) / 2, freedom)
    return NoiseOf(deviation, deviation * math.sqrt(freedom / least))


def pooled_p99(largest: Sequence[Sequence[float]], positions: int) -> float:
    """Return the 99th percentile of pooled positions of which only the largest are known.

    It is exact unless more than the kept share of one chunk lies above it; then it is slightly too
    small, which hardly changes how much it varies.

    Args:
        largest: The largest KL of each chunk, nats.
        positions: Number of all positions.
    """
    known = sorted((value for chunk in largest for value in chunk), reverse=True)
    index = (positions - 1) * _P99
    below = math.floor(index)
    low, high = (known[min(max(0, positions - 1 - i), len(known) - 1)] for i in (below, below + 1))
    return low + (high - low) * (index - below)
