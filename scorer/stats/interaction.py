"""How the drift of weights and KV cache together differs from the sum of their single drifts.

Source: definitions, "Interaction": KL(joint) − KL(weights alone) − KL(KV alone), by chunk, with an
interval over documents, or over chunks where there are few. Standard library only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from scorer.stats.intervals import (
    CONFIDENCE,
    Interval,
    UnitKind,
    clustered_mean,
    unit_label,
    units_of,
    with_width,
)
from scorer.stats.summary_values import ChunkSums


@dataclass(frozen=True, slots=True)
class Interaction:
    """KL mean of a pair minus the KL means of its two parts, over their common chunks.

    Attributes:
        mean: Nats; None where a KL is infinite or no chunk is common.
        interval: Its 95 % interval, nats; None where there is none.
        joint: KL mean of the pair over these chunks, nats.
        added: Sum of the KL means of the parts over them, nats.
        unit: What is taken as independent.
        n_chunks: Chunks compared.
    """

    mean: float | None
    interval: Interval | None
    joint: float
    added: float
    unit: UnitKind
    n_chunks: int

    @property
    def label(self) -> str:
        """What the interval speaks for where that is not any text of the kind; else ""."""
        return unit_label(self.unit)

    @property
    def differs(self) -> bool | None:
        """Whether adding the parts is wrong beyond chance; None without an interval."""
        return None if self.interval is None else not self.interval.holds(0.0)


def interaction(
    joint: ChunkSums,
    weights: ChunkSums,
    cache: ChunkSums,
    documents: Mapping[int, int | None],
    looks: int = 1,
) -> Interaction | None:
    """The interaction of a pair.

    Args:
        joint: Sums of the pair.
        weights: Sums of the weights alone.
        cache: Sums of the KV cache alone.
        documents: Maps a chunk to its document, None if unknown.
        looks: Planned looks of a run that stops by what it sees: the interval holds at all of them.

    Returns:
        None where the three were not scored on the same positions.
    """
    parts = [
        dict(zip(s.chunks, zip(s.kl, s.sizes, strict=True), strict=True))
        for s in (joint, weights, cache)
    ]
    common = [chunk for chunk in joint.chunks if all(chunk in part for part in parts)]
    if any(len({part[chunk][1] for part in parts}) > 1 for chunk in common):
        return None
    units = units_of(common, documents)
    sizes = [parts[0][chunk][1] for chunk in common]
    total = sum(sizes)
    if not total:
        return Interaction(None, None, math.nan, math.nan, units.kind, 0)
    whole, first, second = ([part[chunk][0] for chunk in common] for part in parts)
    joint_mean = math.fsum(whole) / total
    added = math.fsum([*first, *second]) / total
    sums = [a - b - c for a, b, c in zip(whole, first, second, strict=True)]
    if not all(map(math.isfinite, sums)):
        return Interaction(None, None, joint_mean, added, units.kind, len(common))
    found = clustered_mean(sums, sizes, units)
    interval = None if found is None else with_width(found.interval(1 - (1 - CONFIDENCE) / looks))
    mean = math.fsum(sums) / total
    return Interaction(mean, interval, joint_mean, added, units.kind, len(common))
