"""Which chunks of a text are scored, and in which order.

Pure standard library: a report compares a run's chunks with it. Source: definitions, "Which
chunks".
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

from scorer.spec.job import ChunkChoice


def select_chunks(
    total: int,
    choice: ChunkChoice,
    max_chunks: int | None,
    left_out: Collection[int] = (),
) -> tuple[int, ...]:
    """Return the indices of the chunks to score, in scoring order.

    ``first`` takes them as they stand in the text, ``spread`` in :func:`spread_order`. Both take
    the first ``max_chunks`` of their order, or every chunk, those left out apart.
    """
    order = range(total) if choice == "first" else spread_order(total)
    return tuple(islice((chunk for chunk in order if chunk not in left_out), max_chunks))


def spread_order(total: int) -> Iterator[int]:
    """All chunks of a text, so that the first n of them are spread over it for every n.

    The larger of two n holds the smaller. With K = max(6, ⌈log₂ N⌉) bits and r = i with its bits
    reversed, chunk ``⌊(r/2^K + 1/64)·N⌋ mod N`` for i = 0, 1, …; chunks already taken are skipped.
    The 2^K points are at most one chunk apart, so that every chunk is met.
    """
    bits = max(6, (total - 1).bit_length())
    taken: set[int] = set()
    for i in range(1 << bits):
        reversed_bits = int(f"{i:0{bits}b}"[::-1], 2)
        chunk = ((reversed_bits + (1 << bits - 6)) * total >> bits) % total
        if chunk not in taken:
            taken.add(chunk)
            yield chunk
