"""Which chunks of a text are scored, and in which order.

Pure standard library: a report compares a run's chunks with it. Source: definitions, "Which
chunks".
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import islice

from scorer.spec.job import ChunkChoice, order_seed


def select_chunks(total: int, choice: ChunkChoice, max_chunks: int | None) -> tuple[int, ...]:
    """Return the indices of the chunks to score, in scoring order.

    ``first`` takes them as they stand in the text, ``spread`` in :func:`spread_order`,
    ``random:SEED`` in :func:`random_order`. All take the first ``max_chunks`` of their order, or
    every chunk.
    """
    n = total if max_chunks is None else min(max_chunks, total)
    if choice == "first":
        return tuple(range(n))
    seed = order_seed(choice)
    return tuple(islice(spread_order(total) if seed is None else random_order(total, seed), n))


def random_order(total: int, seed: int) -> Iterator[int]:
    """All chunks of a text in a random order, the same for a seed on every machine.

    Each further chunk is drawn from those that are left (Fisher and Yates), with what Python
    promises to keep: ``random.Random(seed).random()``.
    """
    draw = random.Random(seed)
    # Where a chunk has moved to that stood at a place which is taken; all others are in place.
    moved: dict[int, int] = {}
    for i in range(total):
        j = i + int(draw.random() * (total - i))
        yield moved.get(j, j)
        moved[j] = moved.pop(i, i)


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
