"""Can two settings be told apart on the same text? A paired comparison over chunks.

Overlap of two separate intervals is not the test: both settings see the same hard passages, and
most of either interval's width is shared.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scorer.stats.intervals import Interval, mean_interval, units_of
from scorer.stats.summary_values import ChunkSums


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """KL mean of one setting minus another's, over the chunks both have.

    Attributes:
        mean: The difference, nats; None where an infinite KL leaves none.
        interval: Its 95 % interval, nats; None for fewer than 2 chunks or no mean.
        unit: What was taken as independent.
        n_chunks: Chunks compared.
    """

    mean: float | None
    interval: Interval | None
    unit: Literal["chunk", "document"]
    n_chunks: int

    @property
    def told_apart(self) -> bool | None:
        """Whether the interval excludes 0; None where there is no interval."""
        return None if self.interval is None else not self.interval.holds(0.0)


def paired_difference(
    a: ChunkSums, b: ChunkSums, documents: Mapping[int, int | None]
) -> PairedDifference:
    """Compare two settings scored on the same positions of their common chunks.

    Args:
        a: Sums of the one.
        b: Sums of the other.
        documents: Chunk to document, None where unknown.
    """
    of_a = dict(zip(a.chunks, zip(a.kl, a.sizes, strict=True), strict=True))
    of_b = dict(zip(b.chunks, b.kl, strict=True))
    common = [chunk for chunk in a.chunks if chunk in of_b]
    units = units_of(common, documents)
    sums = [of_a[chunk][0] - of_b[chunk] for chunk in common]
    if not common or not all(math.isfinite(s) for s in sums):
        return PairedDifference(None, None, units.kind, len(common))
    sizes = [of_a[chunk][1] for chunk in common]
    mean = math.fsum(sums) / sum(sizes)
    return PairedDifference(mean, mean_interval(sums, sizes, units), units.kind, len(common))
