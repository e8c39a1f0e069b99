"""Spans of positions, to show how the drift depends on depth in a chunk. Imports no numpy."""

from __future__ import annotations

DEPTH_SPANS = 8


def depth_edges(positions: int) -> list[int]:
    """Return the first position of each span of a chunk, and the end of the last span.

    Args:
        positions: Number of scored positions of a chunk; below 8, each one is a span.
    """
    spans = min(DEPTH_SPANS, positions)
    return [positions * span // spans for span in range(spans + 1)] if spans else [0]
