"""Encodes long texts in overlapping windows, to bound the use of memory.

The tokenizers library needs about 150 bytes per byte of text in one call. Tokenization is local:
characters some thousands away have no effect. So two overlapping windows give the same tokens in
the middle of their overlap, and can be joined there. That the tokens are equal is checked.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

WINDOW = 1 << 21
"""Characters encoded in one call; WikiText-2 has 1.3 million."""

OVERLAP = 1 << 14
"""Characters that two windows share; the tokens of the middle half must be equal."""

Encoded = tuple[NDArray[np.int32], NDArray[np.int64]]
"""(n,) int32 ids, and (n, 2) int64, first and past-the-end character of each token."""


def encode_in_windows(
    encode: Callable[[str], Encoded], text: str, *, window: int = WINDOW, overlap: int = OVERLAP
) -> Encoded | None:
    """Encode ``text`` window by window.

    Args:
        encode: Encodes one window, without added special tokens.
        text: The whole text.
        window: Characters by which a window advances.
        overlap: Characters that it shares with the next one.

    Returns:
        The result of ``encode(text)``, or None if two windows differ in their overlap. The text
        must then be encoded in one call.
    """
    parts: list[Encoded] = []
    start = 0
    ids, offsets = encode(text[: window + overlap])
    while start + window + overlap < len(text):
        start += window
        next_ids, next_offsets = encode(text[start : start + window + overlap])
        next_offsets = next_offsets + start
        middle = (start + overlap // 4, start + overlap - overlap // 4)
        here, there = _span(offsets, middle), _span(next_offsets, middle)
        if (
            here is None
            or there is None
            or not np.array_equal(ids[here], next_ids[there])
            or not np.array_equal(offsets[here], next_offsets[there])
        ):
            return None
        parts.append((ids[: here.start], offsets[: here.start]))
        ids, offsets = next_ids[there.start :], next_offsets[there.start :]
    parts.append((ids, offsets))
    return np.concatenate([i for i, _ in parts]), np.concatenate([o for _, o in parts])


def _span(offsets: NDArray[np.int64], characters: tuple[int, int]) -> slice | None:
    begins = offsets[:, 0]
    if np.any(np.diff(begins) < 0):
        return None
    first, past = (int(i) for i in np.searchsorted(begins, characters))
    return slice(first, past) if past > first else None
