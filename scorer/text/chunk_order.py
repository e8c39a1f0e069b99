"""Which chunks of a text are scored, and in which order.

Pure standard library: a report compares a run's chunks with it. Source: definitions, "Which
chunks".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

from scorer.spec.job import ChunkChoice


def select_chunks(total: int, choice: ChunkChoice, max_chunks: int | None) -> tuple[int, ...]:
    """Return the indices of the chunks to score, in scoring order.

    ``first`` takes them as they stand in the text, ``spread`` in :func:`spread_order`. Both take
    the first ``max_chunks`` of their order, or every chunk.
    """
    n = total if max_chunks is None else min(max_chunks, total)
    return tuple(islice(range(total) if choice == "first" else spread_order(total), n))


def more_chunks(
    kept: Sequence[int], total: int, choice: ChunkChoice, max_chunks: int | None, batch: int = 1
) -> tuple[int, ...]:
    """Return the chunks of a run in scoring order: those it has, then those that it lacks.

    The missing ones follow in the order of ``choice``, also where the run took its own by another
    rule. So batches, consecutive chunks of this order, stay what they were.

    Args:
        kept: Chunks that keep their places; empty for a new run.
        total: Chunks of the text.
        choice: Their order.
        max_chunks: How many in all, rounded up to whole batches; None for every chunk.
        batch: Chunks of a batch; 1 where no number depends on it.
    """
    n = total if max_chunks is None else min(total, -(-max_chunks // batch) * batch)
    taken = set(kept)
    # Of the first n of the order, at least n - len(kept) are not among those kept.
    missing = [chunk for chunk in select_chunks(total, choice, n) if chunk not in taken]
    return (*kept, *missing[: max(0, n - len(kept))])


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
