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
_ROUNDING = 1e-13
UnitKind = Literal["chunk", "document"]


@dataclass(frozen=True, slots=True)
class Interval:
    """The ends of an interval, in the unit of its estimate.

    Attributes:
        low: The lower one.
        high: The upper one.
    """

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """Return whether the value lies in the interval, including its ends."""
        return self.low <= value <= self.high


def with_width(interval: Interval | None) -> Interval | None:
    """Return the interval; None if it has no width, which says nothing about certainty."""
    return interval if interval is not None and interval.low < interval.high else None


@dataclass(frozen=True, slots=True)
class Units:
    """The sampling units that are assumed to be independent: chunks or documents.

    Attributes:
        kind: ``document`` if at least 5 documents are covered, else ``chunk``.
        of_chunk: Index of the unit of each chunk, 0 to ``count - 1``.
        count: Number of units.
        documents: Number of known documents that the chunks cover.
    """

    kind: UnitKind
    of_chunk: tuple[int, ...]
    count: int
    documents: int

    @property
    def label(self) -> str:
        """What intervals speak for, see :func:`unit_label`."""
        return unit_label(self.kind)


def unit_label(kind: UnitKind) -> str:
    """Return ``these passages only`` for too few documents to represent similar text, else ""."""
    return "" if kind == "document" else "these passages only"


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


@dataclass(frozen=True, slots=True)
class ClusteredMean:
    """A mean over positions and its standard error, with units as clusters.

    Attributes:
        mean: The mean.
        error: Its standard error (CR1), in the unit of the mean.
        units: Number of independent units, at least 2.
    """

    mean: float
    error: float
    units: int

    def interval(
        self,
        confidence: float = CONFIDENCE,
        *,
        lowest: float = -math.inf,
        highest: float = math.inf,
    ) -> Interval:
        """Return the interval by Student's t with ``units - 1`` degrees of freedom.

        Args:
            confidence: Between 0 and 1.
            lowest: What the quantity cannot be below. A mean that rounding put below it stays in.
            highest: What it cannot be above.
        """
        half_width = t_quantile((1 + confidence) / 2, self.units - 1) * self.error
        low, high = self.mean - half_width, self.mean + half_width
        return Interval(max(low, min(lowest, self.mean)), min(high, max(highest, self.mean)))


def clustered_mean(
    sums: Sequence[float], sizes: Sequence[int], units: Units
) -> ClusteredMean | None:
    """Return a mean over positions and its CR1 standard error, clustered by unit.

    Args:
        sums: Sum of the values over the positions of each chunk.
        sizes: Number of positions of each chunk.
        units: The units of the same chunks.

    Returns:
        The mean, in the unit of the values; None for fewer than 2 units, or if a sum is not
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
    # What rounding leaves of equal units is no spread.
    return ClusteredMean(mean, error if error > _ROUNDING * abs(mean) else 0.0, units.count)


def mean_interval(
    sums: Sequence[float], sizes: Sequence[int], units: Units, *, lowest: float = -math.inf
) -> Interval | None:
    """Return the 95 % interval of a mean over positions, clustered by unit.

    If the units are chunks of equal size, it is ``mean ± t(0.975, m − 1) · sd / √m`` over chunk
    means.

    Args:
        sums: Sum of the values over the positions of each chunk.
        sizes: Number of positions of each chunk.
        units: The units of the same chunks.
        lowest: What the mean cannot be below.

    Returns:
        The interval, in the unit of the values; None for fewer than 2 units, or if a sum is not
        finite.
    """
    found = clustered_mean(sums, sizes, units)
    return None if found is None else found.interval(lowest=lowest)
