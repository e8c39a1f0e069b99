"""The amounts of memory and contexts that keys step through.

Pure standard library.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right

from scorer.spec.amounts import K

_MB, _GB = 10**6, 10**9
MEMORIES: tuple[int, ...] = (
    *(n * _MB for n in (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)),
    *(n * _GB for n in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512)),
)
"""Bytes; multiples of MB and GB as computers are sold with."""
CONTEXTS: tuple[int, ...] = (512, *(K << n for n in range(11)))
"""Tokens, from 512 to 1024k."""


def next_memory(now: int | None, by: int, most: int) -> int | None:
    """The next amount of memory; above all of them there is no limit.

    Args:
        now: Bytes now; None for no limit.
        by: 1 for more, -1 for less.
        most: Bytes that every cell fits in: less than no limit begins there.
    """
    if now is None:
        if by > 0:
            return None
        index = min(bisect_left(MEMORIES, most), len(MEMORIES) - 1)
        return MEMORIES[index]
    if by > 0:
        index = bisect_right(MEMORIES, now)
        return MEMORIES[index] if index < len(MEMORIES) else None
    return MEMORIES[max(0, bisect_left(MEMORIES, now) - 1)]


def next_context(now: int, by: int) -> int:
    """The next context, tokens; the first or the last where there is no other."""
    if by > 0:
        return CONTEXTS[min(bisect_right(CONTEXTS, now), len(CONTEXTS) - 1)]
    return CONTEXTS[max(0, bisect_left(CONTEXTS, now) - 1)]
