"""95 % intervals of means over chunks, or over the documents of the chunks.

Positions in a chunk are correlated, and so are chunks of one document: intervals that assume
independent positions are too narrow. Standard library only: the app shows live intervals before
numpy is imported.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scorer.stats.student_t import t_quantile

CONFIDENCE = 0.95
FEW_CHUNKS = 5
FEW_DOCUMENTS = 5


@dataclass(frozen=True, slots=True)
class Interval:
    """The ends of an interval, in the unit of its estimate."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Return whether the value lies in the interval, including its ends."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Units:
    """The sampling units that are assumed to be independent: chunks or documents.

    Attributes:
        kind: ``document`` if at least 5 documents are covered, else ``chunk``.
        of_chunk: Index of the unit of each chunk, 0 to ``count - 1``.
        count: Number of units.
        documents: Number of known documents that the chunks cover.
    """

    kind: Literal["chunk", "document"]
    of_chunk: tuple[int, ...]
    count: int
    documents: int

    @property
    def label(self) -> str:
        """``these passages only`` if there are too few documents to represent similar text."""
        return "" if self.kind == "document" else "these passages only"


def units_of(chunks: Sequence[int], documents: Mapping[int, int | None]) -> Units:
    """Choose the independent units for a set of chunks.

    Args:
        chunks: Indices of the chunks.
        documents: Maps a chunk to the document of its first token, None if unknown. All chunks of
            unknown documents form one unit.
    """
    owners = [documents.get(chunk) for chunk in chunks]
    known = len({owner for owner in owners if owner is not None})
    if known < FEW_DOCUMENTS:
        return Units("chunk", tuple(range(len(chunks))), len(chunks), known)
    order = {owner: i for i, owner in enumerate(dict.fromkeys(owners))}
    return Units("document", tuple(order[owner] for owner in owners), len(order), known)


def mean_interval(sums: Sequence[float], sizes: Sequence[int], units: Units) -> Interval | None:
    """Return the 95 % interval of a mean over positions, clustered by unit.

    This is the CR1 variance of a mean, with units as clusters, and Student's t with ``count - 1``
    degrees of freedom. If the units are chunks of equal size, it is
    ``mean ± t(0.975, m − 1) · sd / √m`` over chunk means.

    Args:
        sums: Sum of the values over the positions of each chunk.
        sizes: Number of positions of each chunk.
        units: The units of the same chunks.

    Returns:
        The interval, in the unit of the values; None for fewer than 2 units, or if a sum is not
        finite.

    Source: Cameron and Miller, "A Practitioner's Guide to Cluster-Robust Inference", 2015, II.B.
    """
    if units.count < 2 or not all(math.isfinite(s) for s in sums):
        return None
    total = sum(sizes)
    mean = math.fsum(sums) / total
    residuals: list[list[float]] = [[] for _ in range(units.count)]
    for unit, value, size in zip(units.of_chunk, sums, sizes, strict=True):
        residuals[unit] += (value, -size * mean)
    squares = math.fsum(math.fsum(parts) ** 2 for parts in residuals)
    error = math.sqrt(units.count / (units.count - 1) * squares) / total
    half_width = t_quantile((1 + CONFIDENCE) / 2, units.count - 1) * error
    return Interval(mean - half_width, mean + half_width)
