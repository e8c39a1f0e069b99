"""Causal grouped-query attention in float64, one head and one query at a time."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating]


def attend(
    queries: Array,
    keys: Array,
    values: Array,
    scale: float,
    visible: NDArray[np.bool_] | None = None,
) -> NDArray[np.float64]:
    """Attention of L queries that stand at the end of T tokens.

    Args:
        queries: (B, Hq, L, Dk).
        keys: (B, Hkv, T, Dk); query head h reads head h // (Hq / Hkv).
        values: (B, Hkv, T, Dv).
        scale: Factor on the scores.
        visible: (L, T), (B, 1, L, T) or (B, Hq, L, T): what a query may read; causal if None.

    Returns:
        (B, Hq, L, Dv).
    """
    batch, heads, length, _ = queries.shape
    total, repeats = keys.shape[2], heads // keys.shape[1]
    if visible is None:
        visible = np.arange(total)[None] <= np.arange(total - length, total)[:, None]
    allowed = np.broadcast_to(visible, (batch, heads, length, total))
    out = np.empty((batch, heads, length, values.shape[-1]))
    for b in range(batch):
        for h in range(heads):
            k = keys[b, h // repeats].astype(np.float64)
            v = values[b, h // repeats].astype(np.float64)
            for i in range(length):
                seen = np.flatnonzero(allowed[b, h, i])
                scores = scale * (k[seen] @ queries[b, h, i].astype(np.float64))
                weights = np.exp(scores - scores.max())
                out[b, h, i] = weights @ v[seen] / weights.sum()
    return out
