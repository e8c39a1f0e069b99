"""Bootstrap interval of a quantile, resampling whole chunks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.stats.intervals import CONFIDENCE, Interval
from scorer.stats.quantiles import interpolate, sorted_quantile

RESAMPLES = 2000
SEED = 20_240_229
_BLOCK = 200
_MARKS = 512


@dataclass(frozen=True, slots=True)
class _Tail:
    """The pooled values in descending order, with counts per chunk at evenly spaced marks.

    Attributes:
        values: (N,) float64, descending.
        owner: (N padded to whole steps,) int64, the chunk of each value; padding belongs to a
            chunk that is never drawn.
        counts: (n_chunks, marks + 1) float64, the number of values of a chunk before each mark;
            float64 because BLAS multiplies it, and exact for counts.
        step: Number of values between two marks.
    """

    values: NDArray[np.float64]
    owner: NDArray[np.intp]
    counts: NDArray[np.float64]
    step: int

    @classmethod
    def of(cls, values: NDArray[np.float64], chunk_of: NDArray[np.intp], n_chunks: int) -> _Tail:
        """Sort the values and count them per chunk.

        Args:
            values: (N,) float64.
            chunk_of: (N,) int64, the chunk of each value.
            n_chunks: Number of chunks.
        """
        order = np.argsort(values, kind="stable")[::-1]
        step = -(-len(values) // _MARKS)
        n_marks = -(-len(values) // step)
        owner = np.full(n_marks * step, n_chunks, dtype=np.intp)
        owner[: len(values)] = chunk_of[order]
        cell = owner * n_marks + np.arange(len(owner)) // step
        per_step = np.bincount(cell, minlength=(n_chunks + 1) * n_marks)
        counts = np.zeros((n_chunks, n_marks + 1))
        per_step = per_step[: n_chunks * n_marks].reshape(n_chunks, n_marks)
        np.cumsum(per_step, axis=1, out=counts[:, 1:])
        return cls(values[order], owner, counts, step)

    def before(self, times: NDArray[np.float64], rank: NDArray[np.intp]) -> NDArray[np.float64]:
        """Count the drawn values before each mark, up to the marks that the ranks need.

        Args:
            times: (B, n_chunks) float64, how often each chunk was drawn.
            rank: (B,) int64, at least 1.

        Returns:
            (B, at most marks + 1) float64.
        """
        # Ranks of a high quantile are near the top, unless the chunks differ a lot.
        near = 4 * int(rank.max()) // self.step + 2
        found: NDArray[np.float64] = times @ self.counts[:, :near]
        if (found[:, -1] < rank).any():
            found = times @ self.counts
        return found

    def at_rank(
        self, times: NDArray[np.intp], before: NDArray[np.float64], rank: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Return the value at each resample's rank, where 1 is the largest.

        Args:
            times: (B, n_chunks + 1) int64, how often each chunk was drawn, 0 for the padding.
            before: (B, marks + 1) float64, drawn values before each mark.
            rank: (B,) int64, at least 1.

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
    values: NDArray[np.float64], chunk_of: NDArray[np.intp], n_chunks: int, fraction: float
) -> NDArray[np.float64]:
    """Return the quantile of each bootstrap resample of whole chunks.

    Each quantile is the exact one of the pooled positions of the drawn chunks. It is found by
    counting: how often a chunk was drawn times how many of its values lie above a mark, then value
    by value between two marks. Sorting each resample would take minutes.

    Args:
        values: (N,) float64, the pooled values; may hold +inf.
        chunk_of: (N,) int64, the chunk of each value, 0 to ``n_chunks - 1``; each occurs.
        n_chunks: Number of chunks.
        fraction: Which quantile, 0 to 1.

    Returns:
        (2000,) float64.
    """
    tail = _Tail.of(values, chunk_of, n_chunks)
    sizes = np.bincount(chunk_of, minlength=n_chunks)
    # The stream of RandomState is frozen (NumPy enhancement proposal 19), that of Generator is not.
    # A saved run must print the same interval with every version of NumPy.
    random = np.random.RandomState(SEED)
    found: list[float] = []
    for _ in range(0, RESAMPLES, _BLOCK):
        drawn = random.randint(0, n_chunks, size=(_BLOCK, n_chunks), dtype=np.int64)
        cell = (drawn + np.arange(_BLOCK)[:, None] * (n_chunks + 1)).ravel()
        times = np.bincount(cell, minlength=_BLOCK * (n_chunks + 1))
        times = times.reshape(_BLOCK, n_chunks + 1)
        total = times[:, :-1] @ sizes
        index = (total - 1) * fraction
        below = np.floor(index).astype(np.intp)
        before = tail.before(times[:, :-1].astype(np.float64), total - below)
        low = tail.at_rank(times, before, total - below)
        high = tail.at_rank(times, before, np.maximum(total - below - 1, 1))
        weight = index - below
        found += map(interpolate, low.tolist(), high.tolist(), weight.tolist())
    return np.array(found)


def quantile_interval(
    values: NDArray[np.float64],
    chunk_of: NDArray[np.intp],
    n_chunks: int,
    fraction: float = 0.99,
) -> Interval | None:
    """Return the 95 % percentile bootstrap interval of a quantile, from 2 000 resamples of chunks.

    Args:
        values: (N,) float64, the pooled values; may hold +inf.
        chunk_of: (N,) int64, the chunk of each value, 0 to ``n_chunks - 1``; each occurs.
        n_chunks: Number of chunks.
        fraction: Which quantile, 0 to 1.

    Returns:
        The interval, extended to the point estimate if that lies outside; None for one chunk.

    Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13.
    """
    if n_chunks < 2:
        return None
    resampled = np.sort(resampled_quantiles(values, chunk_of, n_chunks, fraction))
    estimate = sorted_quantile(np.sort(values), fraction)
    tail = (1 - CONFIDENCE) / 2
    low, high = (sorted_quantile(resampled, f) for f in (tail, 1 - tail))
    return Interval(min(low, estimate), max(high, estimate))
