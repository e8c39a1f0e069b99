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
        self._least = -math.inf
        self._waiting: list[NDArray[np.float64]] = []
        self._size = 0

    def add(self, kl: NDArray[np.float64]) -> None:
        """Take in the positions of a chunk.

        Args:
            kl: (T,) float64, nats; may hold +inf.
        """
        self.positions += len(kl)
        largest = kl[kl >= self._least]
        self._waiting.append(largest)
        self._size += len(largest)
        # Twice as many as are kept: most chunks cost no more than a comparison.
        if self._size > 2 * self._kept:
            self._drop_the_smaller()

    def _drop_the_smaller(self) -> NDArray[np.float64]:
        """The values that are kept, in any order."""
        largest = np.concatenate(self._waiting)
        if len(largest) > self._kept:
            largest = np.partition(largest, -self._kept)[-self._kept :]
            self._least = float(largest[0])
        self._waiting, self._size = [largest], len(largest)
        return largest

    @property
    def value(self) -> float | None:
        """The percentile, nats; None before the first position."""
        if not self.positions:
            return None
        index = (self.positions - 1) * _FRACTION
        below = math.floor(index)
        largest = self._drop_the_smaller()
        # Counted from the largest, which stands last.
        place = len(largest) - self.positions + below
        above = min(place + 1, len(largest) - 1)
        ordered = np.partition(largest, (place, above))
        return interpolate(float(ordered[place]), float(ordered[above]), index - below)
