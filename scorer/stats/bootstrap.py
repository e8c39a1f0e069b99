"""Bootstrap interval of a quantile, resampling whole chunks or documents."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.stats.intervals import CONFIDENCE, Interval
from scorer.stats.quantiles import interpolate, quantile, sorted_quantile

RESAMPLES = 2000
SEED = 20_240_229
_BLOCK = 200
_DRAWS = 1 << 15
_MARKS = 64
# Ranks of a high quantile are near the top, unless the units differ a lot.
_TAIL = 1.5
_LEAST_TAIL = 4096
_MORE = 4


@dataclass(frozen=True, slots=True)
class _Tail:
    """The largest of the pooled values, with counts per unit at evenly spaced marks.

    Attributes:
        values: (n,) float64, descending; all values that are not below the last of them.
        owner: (n padded to whole steps,) int64, the unit of each value; padding belongs to a
            unit that is never drawn.
        counts: (n_units, marks + 1) float64, the number of values of a unit before each mark;
            float64 because BLAS multiplies it, and exact for counts.
        step: Number of values between two marks.
    """

    values: NDArray[np.float64]
    owner: NDArray[np.intp]
    counts: NDArray[np.float64]
    step: int

    @classmethod
    def of(
        cls, values: NDArray[np.float64], unit_of: NDArray[np.integer], n_units: int, least: int
    ) -> _Tail:
        """Sort the largest values and count them per unit.

        Args:
            values: (N,) float64.
            unit_of: (N,) integers, the unit of each value.
            n_units: Number of units.
            least: How many values to take; more where the last of them are equal.
        """
        if least < len(values):
            smallest = np.partition(values, len(values) - least)[len(values) - least]
            taken = np.flatnonzero(values >= smallest)
            values, unit_of = values[taken], unit_of[taken]
        order = np.argsort(values, kind="stable")[::-1]
        step = -(-len(values) // _MARKS)
        n_marks = -(-len(values) // step)
        owner = np.full(n_marks * step, n_units, dtype=np.intp)
        owner[: len(values)] = unit_of[order]
        cell = owner * n_marks + np.arange(len(owner)) // step
        per_step = np.bincount(cell, minlength=(n_units + 1) * n_marks)
        counts = np.zeros((n_units, n_marks + 1))
        per_step = per_step[: n_units * n_marks].reshape(n_units, n_marks)
        np.cumsum(per_step, axis=1, out=counts[:, 1:])
        return cls(values[order], owner, counts, step)

    def before(self, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Count the drawn values before each mark, and at last all that were taken.

        Args:
            times: (B, n_units) float64, how often each unit was drawn.

        Returns:
            (B, marks + 1) float64.
        """
        found: NDArray[np.float64] = times @ self.counts
        return found

    def at_rank(
        self, times: NDArray[np.intp], before: NDArray[np.float64], rank: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Return the value at each resample's rank, where 1 is the largest.

        Args:
            times: (B, n_units + 1) int64, how often each unit was drawn, 0 for the padding.
            before: (B, marks + 1) float64, drawn values before each mark.
            rank: (B,) int64, at least 1 and at most the last of ``before``.

        Returns:
            (B,) float64.
        """
        mark = (before < rank[:, None]).sum(axis=1) - 1
        rows = mark[:, None] * self.step + np.arange(self.step)
        seen = np.cumsum(np.take_along_axis(times, self.owner[rows], axis=1), axis=1)
        seen += before[np.arange(len(mark)), mark].astype(np.intp)[:, None]
        found: NDArray[np.float64] = self.values[
            mark * self.step + (seen < rank[:, None]).sum(axis=1)
        ]
        return found


def resampled_quantiles(
    values: NDArray[np.float64], unit_of: NDArray[np.integer], n_units: int, fraction: float
) -> NDArray[np.float64]:
    """Return the quantile of each bootstrap resample of whole units: chunks or documents.

    Each quantile is the exact one of the pooled positions of the drawn units. It is found by
    counting: how often a unit was drawn times how many of its values lie above a mark, then value
    by value between two marks. Sorting each resample would take minutes. Only the largest values
    are sorted, and more of them where a resample needs them.

    Args:
        values: (N,) float64, the pooled values; may hold +inf.
        unit_of: (N,) integers, the unit of each value, 0 to ``n_units - 1``; each occurs.
        n_units: Number of units.
        fraction: Which quantile, 0 to 1.

    Returns:
        (2000,) float64.
    """
    least = _LEAST_TAIL + math.ceil(_TAIL * len(values) * (1 - fraction))
    tail = _Tail.of(values, unit_of, n_units, least)
    sizes = np.bincount(unit_of, minlength=n_units)
    # The stream of RandomState is frozen (NumPy enhancement proposal 19), that of Generator is not.
    # A saved run must print the same interval with every version of NumPy.
    random = np.random.RandomState(SEED)
    found: list[float] = []
    # As many as stay in the cache of a core.
    at_once = max(1, _DRAWS // n_units)
    # The last column is for the padding of the tail.
    times = np.zeros((_BLOCK, n_units + 1), np.intp)
    as_floats = np.empty((_BLOCK, n_units))
    for _ in range(0, RESAMPLES, _BLOCK):
        for start in range(0, _BLOCK, at_once):
            part = slice(start, min(start + at_once, _BLOCK))
            as_floats[part] = times[part, :-1] = _drawn(random, part.stop - start, n_units)
        total = times[:, :-1] @ sizes
        index = (total - 1) * fraction
        below = np.floor(index).astype(np.intp)
        while ((before := tail.before(as_floats))[:, -1] < total - below).any():
            least *= _MORE
            tail = _Tail.of(values, unit_of, n_units, least)
        low = tail.at_rank(times, before, total - below)
        high = tail.at_rank(times, before, np.maximum(total - below - 1, 1))
        weight = index - below
        found += map(interpolate, low.tolist(), high.tolist(), weight.tolist())
    return np.array(found)


def _drawn(random: np.random.RandomState, resamples: int, n_units: int) -> NDArray[np.intp]:
    """Draw as many units as there are, a few times: (resamples, n_units), how often each."""
    drawn = random.randint(0, n_units, size=(resamples, n_units), dtype=np.int64)
    drawn += np.arange(resamples)[:, None] * n_units
    times = np.bincount(drawn.ravel(), minlength=resamples * n_units)
    return times.reshape(resamples, n_units)


def quantile_interval(
    values: NDArray[np.float64],
    unit_of: NDArray[np.integer],
    n_units: int,
    fraction: float = 0.99,
) -> Interval | None:
    """Return the 95 % percentile bootstrap interval of a quantile, from 2 000 resamples of units.

    Args:
        values: (N,) float64, the pooled values; may hold +inf.
        unit_of: (N,) integers, the unit of each value, a chunk or a document, 0 to
            ``n_units - 1``; each occurs.
        n_units: Number of units.
        fraction: Which quantile, 0 to 1.

    Returns:
        The interval, extended to the point estimate if that lies outside; None for one unit.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if n_units < 2:
        return None
    resampled = np.sort(resampled_quantiles(values, unit_of, n_units, fraction))
    estimate = quantile(values, fraction)
    tail = (1 - CONFIDENCE) / 2
    low, high = (sorted_quantile(resampled, f) for f in (tail, 1 - tail))
    return Interval(min(low, estimate), max(high, estimate))
