"""Paired comparison of two settings over the chunks of the same text.

Checking whether two separate intervals overlap is no valid test: both settings are scored on the
same difficult passages, which cause most of the width of either interval.
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
    """KL mean of one setting minus that of another, over their common chunks.

    Attributes:
        mean: The difference, nats; None if a KL is infinite.
        interval: Its 95 % interval, nats; None for fewer than 2 chunks or without a mean.
        unit: The sampling unit that is assumed to be independent.
        n_chunks: Chunks compared.
    """

    mean: float | None
    interval: Interval | None
    unit: Literal["chunk", "document"]
    n_chunks: int

    @property
    def told_apart(self) -> bool | None:
        """Whether the interval excludes 0; None without an interval."""
        return None if self.interval is None else not self.interval.holds(0.0)


def paired_difference(
    a: ChunkSums, b: ChunkSums, documents: Mapping[int, int | None]
) -> PairedDifference:
    """Compare two settings scored on the same positions of their common chunks.

    Args:
        a: Sums of the first setting.
        b: Sums of the second setting.
        documents: Maps a chunk to its document, None if unknown.
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
