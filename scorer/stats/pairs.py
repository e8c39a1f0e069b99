"""Paired comparison of settings over the chunks of the same text, and of all pairs of a table.

Checking whether two separate intervals overlap is no valid test: both settings are scored on the
same difficult passages, which cause most of the width of either interval. And of many pairs some
differ by chance: the pairs of a table are tested as a family.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from scorer.stats.intervals import (
    CONFIDENCE,
    ClusteredMean,
    Interval,
    UnitKind,
    clustered_mean,
    unit_label,
    units_of,
)
from scorer.stats.student_t import central_probability
from scorer.stats.summary_values import ChunkSums

Names = tuple[str, str]
"""Two settings in notation."""


@dataclass(frozen=True, slots=True)
class PairedDifference:
    """KL mean of one setting minus that of another, over their common chunks.

    Attributes:
        mean: The difference, nats; None if a KL is infinite.
        interval: Its 95 % interval, nats; None for fewer than 2 chunks or without a mean. Of a
            family (:func:`as_family`) the intervals hold together with 95 % confidence.
        unit: The sampling unit that is assumed to be independent.
        n_chunks: Chunks compared.
        estimate: The mean with its standard error; None without an interval.
        p_value: Of the test that it is 0; in a family adjusted by Holm's method. None without an
            interval.
        apart_in_family: What the test of the whole family says; None for a pair of no family.
        below_noise_floor: The difference is smaller than the upper end of the noise floor, so that
            rounding may have caused it; then the settings are not told apart.
    """

    mean: float | None
    interval: Interval | None
    unit: UnitKind
    n_chunks: int
    estimate: ClusteredMean | None = None
    p_value: float | None = None
    apart_in_family: bool | None = None
    below_noise_floor: bool = False

    @property
    def told_apart(self) -> bool | None:
        """Whether the difference is not 0; None without an interval."""
        if self.interval is None or self.apart_in_family is not None:
            return self.apart_in_family
        return not self.interval.holds(0.0)

    @property
    def label(self) -> str:
        """What the interval speaks for where that is not any text of the kind; else ""."""
        return unit_label(self.unit)


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
    found = clustered_mean(sums, sizes, units)
    if found is None or (found.error == 0 and mean != 0):
        # Differences that are all the same say nothing about those of other chunks.
        return PairedDifference(mean, None, units.kind, len(common))
    return PairedDifference(mean, found.interval(), units.kind, len(common), found, _p_value(found))


def _p_value(found: ClusteredMean) -> float:
    """Two-sided, of Student's t test that the mean is 0; at least the rounding of its t."""
    if found.error == 0:
        return 1.0
    t = abs(found.mean) / found.error
    return max(0.0, 1 - central_probability(t, found.units - 1))


def as_family(
    pairs: Mapping[Names, PairedDifference],
    noise: Mapping[str, float] | None = None,
    looks: int = 1,
) -> dict[Names, PairedDifference]:
    """Return the pairs of a table with simultaneous intervals, told apart by Holm's method.

    Holm's method keeps the probability of telling apart any pair that is equal at 5 % or less. The
    intervals are Bonferroni's: with ``n`` pairs each has the confidence ``1 - 0.05 / n``. Holm's
    method is the sharper of the two, so that it can tell a pair apart whose interval holds 0. Two
    settings that give the same KL on every chunk need no test and are not counted.

    Args:
        pairs: Every pair of the table.
        noise: Upper end of the noise floor of each setting, nats; none where not measured.
        looks: Planned looks of a run that stops by what it sees, each of which could be the last:
            every look is tested at its share of the 5 %.

    Source: Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    noise = noise or {}
    tested = [names for names, pair in pairs.items() if pair.estimate and pair.estimate.error > 0]
    adjusted = holm([min(1.0, looks * _known(pairs[names].p_value)) for names in tested])
    found = dict(pairs)
    for names, p_value in zip(tested, adjusted, strict=True):
        pair = pairs[names]
        assert pair.estimate is not None
        floor = max(noise.get(name, 0.0) for name in names)
        below = abs(pair.estimate.mean) < floor
        found[names] = replace(
            pair,
            interval=pair.estimate.interval(1 - (1 - CONFIDENCE) / (len(tested) * looks)),
            p_value=p_value,
            apart_in_family=p_value <= 1 - CONFIDENCE and not below,
            below_noise_floor=below,
        )
    return found


def _known(p_value: float | None) -> float:
    assert p_value is not None
    return p_value


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p values of a family, adjusted by Holm's method, in the same order.

    A hypothesis is rejected at a level if its adjusted value is not above that level.

    Args:
        p_values: Of the single tests.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    least = 0.0
    for rank, i in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = least
    return adjusted


def indistinct_groups(
    names: Iterable[str], pairs: Mapping[Names, PairedDifference]
) -> list[tuple[str, ...]]:
    """Return the largest groups of settings of which no two are told apart.

    Groups may share settings: of three in a row the outer ones can be told apart although neither
    can be told from the middle one.

    Args:
        names: The settings, in the order in which groups name them.
        pairs: The pairs; a pair without an interval joins nothing.

    Source: Bron and Kerbosch, Algorithm 457, 1973, with pivots.
    """
    order = list(names)
    near: dict[str, set[str]] = {name: set() for name in order}
    for (a, b), pair in pairs.items():
        if pair.told_apart is False and a in near and b in near:
            near[a].add(b)
            near[b].add(a)
    groups: list[set[str]] = []

    def extend(group: set[str], more: set[str], done: set[str]) -> None:
        if not more and not done:
            if len(group) > 1:
                groups.append(group)
            return
        pivot = max(more | done, key=lambda name: len(near[name] & more))
        for name in sorted(more - near[pivot]):
            extend(group | {name}, more & near[name], done & near[name])
            more = more - {name}
            done = done | {name}

    extend(set(), set(order), set())
    place = {name: i for i, name in enumerate(order)}
    listed = [tuple(sorted(group, key=place.__getitem__)) for group in groups]
    return sorted(listed, key=lambda group: [place[name] for name in group])
