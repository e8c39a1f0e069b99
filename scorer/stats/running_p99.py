"""The exact 99th percentile of KL while chunks are being scored."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from scorer.stats.quantiles import interpolate

_FRACTION = 0.99


class RunningP99:
    """The 99th percentile of all positions so far, as the report computes it.

    Only the largest hundredth of the positions to come is kept.

    Attributes:
        positions: Number of positions so far.
    """

    def __init__(self, most: int) -> None:
        """Begin without a position.

        Args:
            most: Number of positions that may come.
        """
        self.positions = 0
        self._kept = most - math.floor((most - 1) * _FRACTION) + 1
        self._largest: NDArray[np.float64] = np.zeros(0)

    def add(self, kl: NDArray[np.float64]) -> None:
        """Take in the positions of a chunk.

        Args:
            kl: (T,) float64, nats; may hold +inf.
        """
        self.positions += len(kl)
        largest = np.concatenate([self._largest, kl])
        if len(largest) > self._kept:
            largest = np.partition(largest, -self._kept)[-self._kept :]
        self._largest = largest

    @property
    def value(self) -> float | None:
        """The percentile, nats; None before the first position."""
        if not self.positions:
            return None
        index = (self.positions - 1) * _FRACTION
        below = math.floor(index)
        ordered = np.sort(self._largest)[::-1]
        low = float(ordered[self.positions - 1 - below])
        high = float(ordered[max(0, self.positions - 2 - below)])
        return interpolate(low, high, index - below)
