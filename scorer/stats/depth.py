"""Spans of positions: does the drift grow with the depth in a chunk? Imports no numpy."""

from __future__ import annotations

DEPTH_SPANS = 8


def depth_edges(positions: int) -> list[int]:
    """Where the spans of a chunk begin, and where the last one ends.

    Args:
        positions: Scored positions of a chunk; with fewer than 8 each is a span of its own.
    """
    spans = min(DEPTH_SPANS, positions)
    return [positions * span // spans for span in range(spans + 1)] if spans else [0]
