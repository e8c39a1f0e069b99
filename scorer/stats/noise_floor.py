"""The noise floor of a setting, from the KL sums of its perturbed repeats. Imports no mlx."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def noise_floor(sums: Sequence[Sequence[float]], positions: int) -> float | None:
    """Return the sample standard deviation of the KL mean over perturbed repeats.

    Args:
        sums: KL sum of each repeat for every chunk, nats.
        positions: Number of scored positions in all these chunks.

    Returns:
        The noise floor in nats; None if a chunk has fewer than two repeats.
    """
    repeats = min((len(chunk) for chunk in sums), default=0)
    if repeats < 2 or not positions:
        return None
    means = [math.fsum(chunk[k] for chunk in sums) / positions for k in range(repeats)]
    return float(np.std(means, ddof=1))
