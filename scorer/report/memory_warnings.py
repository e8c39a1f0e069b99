"""What a report says of passes that were made smaller than the run's batch grid."""

from __future__ import annotations

from collections.abc import Iterable

from scorer.runs.chunk_facts import ChunkFacts


def memory_warnings(
    cells: Iterable[tuple[int, ChunkFacts]], batch: int, device: str
) -> tuple[str, ...]:
    """What a report says where memory ran short, from the facts of the stored chunks.

    Args:
        cells: Chunk and facts of every stored cell.
        batch: Chunks per forward pass of the run's grid.
        device: ``metal``, ``cuda`` or ``cpu``.
    """
    smaller: dict[int, int] = {}
    chunks: set[int] = set()
    for chunk, facts in cells:
        chunks.add(chunk)
        if facts.smaller_pass is not None:
            smaller[chunk] = min(facts.smaller_pass.batch, smaller.get(chunk, batch))
    if not smaller:
        return ()
    least = min(smaller.values())
    how = f"{least} at a time, not {batch}" if least < batch else "in smaller tiles"
    same = (
        "the figures are the same"
        if device == "cpu"
        else "their figures can differ from an undisturbed run's by rounding"
    )
    return (f"memory ran short: {len(smaller)} of {len(chunks)} chunks were scored {how}; {same}",)
