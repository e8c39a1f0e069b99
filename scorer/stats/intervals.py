"""95 % intervals of means over chunks, or over the documents the chunks come from.

Positions inside a chunk are correlated, and so are chunks of one document: taking positions as
independent gives intervals that are too narrow. Pure standard library: the app shows live
intervals before numpy is imported.
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
    """Both ends of an interval, in the unit of what it belongs to."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Whether the value lies in the interval, ends included."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class Units:
    """What is taken as independent: each chunk, or each document.

    Attributes:
        kind: ``document`` where at least 5 documents are covered, else ``chunk``.
        of_chunk: Per chunk, the index of its unit, 0 to ``count - 1``.
        count: Number of units.
        documents: Number of documents the chunks are known to cover.
    """

    kind: Literal["chunk", "document"]
    of_chunk: tuple[int, ...]
    count: int
    documents: int

    @property
    def label(self) -> str:
        """``these passages only`` where too few documents stand for a text of their kind."""
        return "" if self.kind == "document" else "these passages only"


def units_of(chunks: Sequence[int], documents: Mapping[int, int | None]) -> Units:
    """Choose the independent unit for a set of chunks.

    Args:
        chunks: Indices of the chunks.
        documents: Chunk index to the document of its first token, None where unknown. Chunks of
            no known document count as one further unit together.
    """
    owners = [documents.get(chunk) for chunk in chunks]
    known = len({owner for owner in owners if owner is not None})
    if known < FEW_DOCUMENTS:
        return Units("chunk", tuple(range(len(chunks))), len(chunks), known)
    order = {owner: i for i, owner in enumerate(dict.fromkeys(owners))}
    return Units("document", tuple(order[owner] for owner in owners), len(order), known)


def mean_interval(sums: Sequence[float], sizes: Sequence[int], units: Units) -> Interval | None:
    """95 % interval of a mean over positions, clustered by unit.

    With units as clusters this is the CR1 variance of a mean and ``t`` with ``count - 1``
    degrees of freedom; with equal chunks as units it is the plain
    ``mean ± t(0.975, m − 1) · sd / √m`` over chunk means.

    Args:
        sums: Per chunk, the sum of the values over its positions.
        sizes: Per chunk, its number of positions.
        units: The units of the same chunks.

    Returns:
        The interval, in the unit of the values; None for fewer than 2 units or where a sum is
        not finite.

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
