"""The noise floor of a setting from the KL sums of its perturbed repeats; imports no mlx."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np


def noise_floor(sums: Sequence[Sequence[float]], positions: int) -> float | None:
    """Sample standard deviation of the KL mean over perturbed repeats.

    Args:
        sums: For every chunk the KL sum of each repeat, nats.
        positions: Scored positions of all these chunks.

    Returns:
        Nats; None with fewer than two repeats, or where a chunk lacks them.
    """
    repeats = min((len(chunk) for chunk in sums), default=0)
    if repeats < 2 or not positions:
        return None
    means = [math.fsum(chunk[k] for chunk in sums) / positions for k in range(repeats)]
    return float(np.std(means, ddof=1))
