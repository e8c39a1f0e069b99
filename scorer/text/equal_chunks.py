"""Which chunks of a text hold the same tokens: they are one piece of evidence, not several."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def equal_chunks(ids: NDArray[np.int32], indices: Sequence[int]) -> dict[int, int]:
    """Find the chunks that repeat an earlier one.

    Args:
        ids: (n, L) int32, tokens of the chunks, in scoring order.
        indices: Index of each chunk in the corpus.

    Returns:
        Index of each repeating chunk to that of the first of the same tokens.
    """
    first: dict[bytes, int] = {}
    found = {}
    for tokens, index in zip(ids, indices, strict=True):
        earlier = first.setdefault(hashlib.sha256(tokens.tobytes()).digest(), index)
        if earlier != index:
            found[index] = earlier
    return found
