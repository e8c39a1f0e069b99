"""The intervals of one setting at one look of a run that stops once it is settled.

All by Student's t on clustered standard errors (CR1, units minus 1 degrees of freedom): the KL
mean on its logarithm, because it is skewed; flips as a proportion on its effective size; the 99th
percentile by inverting the interval of a proportion: ``p99 <= t`` says that at most 1 % of
positions lie above ``t``.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.spec.thresholds import Metric
from scorer.stats.intervals import ClusteredMean, Interval, Units, clustered_mean, with_width
from scorer.stats.positions import FloatArray
from scorer.stats.proportions import proportion
from scorer.stats.stopping import FEWEST_UNITS
from scorer.stats.student_t import t_quantile
from scorer.stats.summary_values import ChunkSums
from scorer.stats.verdict import P99_POSITIONS

ABOVE_P99 = 0.01
"""Share of positions above the 99th percentile."""

_MARKS = 256
_FIRST_SHARE = 0.08
_MORE = 4


@dataclass(frozen=True, slots=True, eq=False)
class LookValues:
    """KL of the positions of a look.

    Attributes:
        kl: (N,) float64, nats; may hold +inf. Values may be left out that are smaller than all
            that are given.
        unit_of: (N,) integers, the unit of each value, 0 to ``count - 1``.
        sizes: (count,) integers, number of all positions of each unit.
    """

    kl: FloatArray
    unit_of: NDArray[np.integer]
    sizes: NDArray[np.integer]


def look_intervals(
    sums: ChunkSums, values: LookValues, units: Units, confidence: float
) -> dict[Metric, Interval | None]:
    """The intervals of KL mean, p99 and flip rate over the chunks of a look.

    Args:
        sums: Sums of each chunk.
        values: KL of the positions of the same chunks.
        units: The units of the same chunks.
        confidence: Of each interval, between 0 and 1.

    Returns:
        Metric to its interval; None where there is none: fewer than 5 units, no spread, fewer than
        200 positions for p99.
    """
    if units.count < FEWEST_UNITS:
        return {"kl_mean": None, "kl_p99": None, "flip_rate": None}
    size = sum(sums.sizes)
    mean = clustered_mean(sums.kl, sums.sizes, units)
    squares = sum(sums.kl_squares)
    flips = proportion(clustered_mean(sums.flips, sums.sizes, units), size, mean, squares)
    p99 = p99_interval(values, confidence) if size >= P99_POSITIONS else None
    return {
        "kl_mean": Interval(math.inf, math.inf)
        if any(math.isinf(kl) for kl in sums.kl)
        else mean_on_log(mean, confidence),
        "kl_p99": with_width(p99),
        "flip_rate": None if flips is None else with_width(flips.interval(confidence)),
    }


def mean_on_log(mean: ClusteredMean | None, confidence: float) -> Interval | None:
    """The interval of a mean of positive values, symmetric on its logarithm.

    By the delta method: the standard error of ``log m`` is that of ``m`` divided by ``m``. A mean
    of 0, or one that rounding put below it, has no logarithm and gets the plain interval.

    Args:
        mean: The mean.
        confidence: Between 0 and 1.

    Returns:
        The interval; None without a mean or a spread.
    """
    if mean is None or mean.error == 0:
        return None
    if mean.mean <= 0:
        return mean.interval(confidence)
    reach = t_quantile((1 + confidence) / 2, mean.units - 1) * mean.error / mean.mean
    factor = math.exp(min(reach, 700.0))
    return Interval(mean.mean / factor, mean.mean * factor)


def p99_interval(values: LookValues, confidence: float) -> Interval:
    """The interval of the 99th percentile by inverting that of a proportion.

    It reaches from the smallest to the largest ``t`` at which Wilson's interval of the share of
    positions above ``t``, on its effective size, holds 1 %. The share only changes at values that
    occur, so these are tried: some, then those between the last one that is out and the first one
    that is in.

    A share of 1 % is asked for, so a smaller one has at least the design effect of the share above
    the 99th percentile of these positions: of few positions it is hardly seen that they come
    together. A share of 0 or 1 has that effect alone. That of the KL mean would not do: a mean that
    differs by document and hardly within one says nothing of how the tail is spread.

    Args:
        values: KL of the positions.
        confidence: Between 0 and 1.

    Returns:
        The interval, nats. An end is 0 or +inf where no value is seen beyond which it ends.

    Source: Woodruff, "Confidence Intervals for Medians and Other Position Measures", 1952.
    """
    size = int(values.sizes.sum())
    shares = _Shares.of(values, confidence, _FIRST_SHARE)
    while True:
        marks = np.unique(np.linspace(0, shares.last, _MARKS).astype(np.intp))
        inside = shares.hold(marks)
        # The last mark has the largest share above it: is it out because there are too many?
        if not inside[-1] or len(shares.kl) == len(values.kl):
            break
        shares = _Shares.of(values, confidence, _MORE * len(shares.kl) / size)
    if not inside.any():
        # It falls between two marks.
        marks = np.arange(shares.last + 1)
        inside = shares.hold(marks)
    if not inside.any():
        # Positions are so many that it falls between two values.
        k = min(int(ABOVE_P99 * size), shares.last)
        return Interval(float(shares.kl[k]), float(shares.kl[k]))
    first, last = np.flatnonzero(inside)[[0, -1]]
    top = shares.outermost(int(marks[first]), int(marks[first - 1]) if first else None)
    bottom = shares.outermost(
        int(marks[last]), int(marks[last + 1]) if last + 1 < len(marks) else None
    )
    # With k values above it, the share is the same up to the next larger value.
    high = math.inf if top == 0 else float(shares.kl[top - 1])
    # Where the smallest value given is still in, those left out may be too.
    low = 0.0 if bottom == shares.last else float(shares.kl[bottom])
    return Interval(min(low, high), high)


@dataclass(frozen=True, eq=False)
class _Shares:
    """The largest values, and whether 1 % may be the share of positions above one of them.

    Attributes:
        kl: (n,) float64, descending.
        owner: (n,) integers, the unit of each.
        sizes: (count,) float64, positions of each unit.
        t: Quantile of Student's t.
    """

    kl: FloatArray
    owner: NDArray[np.integer]
    sizes: FloatArray
    t: float

    @classmethod
    def of(cls, values: LookValues, confidence: float, share: float) -> _Shares:
        """Take the values of a share of all positions, and those equal to the smallest of them."""
        size, kl, owner = int(values.sizes.sum()), values.kl, values.unit_of
        wanted = math.ceil(share * size)
        if wanted < len(kl):
            smallest = np.partition(kl, len(kl) - wanted)[len(kl) - wanted]
            taken = np.flatnonzero(kl >= smallest)
            kl, owner = kl[taken], owner[taken]
        order = np.argsort(kl, kind="stable")[::-1]
        t = t_quantile((1 + confidence) / 2, len(values.sizes) - 1)
        return cls(kl[order], owner[order], values.sizes.astype(np.float64), t)

    @property
    def last(self) -> int:
        """Place of the smallest value."""
        return len(self.kl) - 1

    def hold(self, places: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Whether Wilson's interval of the share above a value holds 1 %, for some places.

        Args:
            places: (m,) ascending places in ``kl``.
        """
        p, effect = self._effects(places)
        few = np.isnan(effect) | (p < ABOVE_P99)
        effect = np.where(few, np.fmax(effect, self._usual_effect), effect)
        n = np.maximum(1.0, self.sizes.sum() / effect)
        # Wilson's interval holds a share where the distance is at most t of its errors there.
        reach = self.t**2 * ABOVE_P99 * (1 - ABOVE_P99) / n
        held: NDArray[np.bool_] = np.square(p - ABOVE_P99) <= reach
        return held

    @functools.cached_property
    def _usual_effect(self) -> float:
        """The design effect of the share above the 99th percentile of these positions."""
        wanted = min(int(ABOVE_P99 * self.sizes.sum()), self.last)
        # Of equal values the first has as few above it as all; with none the next smaller counts.
        for kl in (self.kl[wanted], *self.kl[self.kl < self.kl[0]][:1]):
            place = np.searchsorted(-self.kl, -kl)
            effect = float(self._effects(np.array([place], np.intp))[1][0])
            if not math.isnan(effect):
                return effect
        # All are equal: each unit counts as one position.
        return float(self.sizes.sum()) / len(self.sizes)

    def _effects(self, places: NDArray[np.intp]) -> tuple[FloatArray, FloatArray]:
        """The shares of positions above some values, and their design effects, at least 1.

        Args:
            places: (m,) ascending places in ``kl``.

        Returns:
            (m,) float64 each; NaN for the effect of a share of 0 or 1.
        """
        units, marks = len(self.sizes), len(places)
        # Of each value, the first mark that it lies above: marks descend, so negate.
        first = np.searchsorted(-self.kl[places], -self.kl, side="right")
        cells = self.owner.astype(np.intp) * (marks + 1) + first
        counts = np.bincount(cells, minlength=units * (marks + 1)).reshape(units, marks + 1)
        above = np.cumsum(counts[:, :marks], axis=1).astype(np.float64)
        total = self.sizes.sum()
        p = above.sum(axis=0) / total
        residuals = above - self.sizes[:, None] * p
        squares = np.square(residuals).sum(axis=0)
        variance = units / (units - 1) * squares / total**2
        independent = p * (1 - p) / total
        effect = np.full(marks, math.nan)
        np.divide(variance, independent, out=effect, where=independent > 0)
        return p, np.maximum(effect, 1.0)

    def outermost(self, inside: int, outside: int | None) -> int:
        """The place that is in and nearest to one that is out, between the two.

        Args:
            inside: A place that is in.
            outside: One that is out, on one side; None where there is none on that side.
        """
        if outside is None:
            return inside
        step = 1 if outside > inside else -1
        while abs(outside - inside) > 1:
            between = np.unique(np.linspace(inside, outside, _MARKS + 2).astype(np.intp))
            held = self.hold(between)
            places = between if step > 0 else between[::-1]
            found = held if step > 0 else held[::-1]
            # The last that is in, seen from the inside.
            at = int(np.flatnonzero(found)[-1])
            inside, outside = int(places[at]), int(places[at + 1])
        return inside
