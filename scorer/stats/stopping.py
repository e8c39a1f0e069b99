"""Runs that stop once their verdicts are settled: when they look, how sure each look must be.

A run that stops when its figures look good stops on a lucky streak more often than an interval of
95 % says. So the looks are planned, chunks come in a random order, and the 5 % are shared by all
settings, criteria and looks (Bonferroni): every interval of every look holds together with 95 %
confidence. It speaks for text of this kind, not only for the chunks of this one.

Standard library only: the app names looks before numpy is imported.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from scorer.spec.thresholds import METRICS, Bounds, Metric
from scorer.stats.intervals import CONFIDENCE, FEW_DOCUMENTS, Interval, Units

FIRST_LOOK = 30
"""Chunks of the first look; that of each later one is half as large again."""
GROWTH = 1.5
FEWEST_UNITS = 5
"""Independent units below which a look settles nothing."""

Standing = Literal["settled good", "settled worse", "not settled"]


def look_sizes(chunks: int, batch: int = 1) -> tuple[int, ...]:
    """After how many chunks a run looks whether it is settled.

    At 30, 45, 67, 101, 151, ..., each rounded up to whole batches, and at last at all chunks.

    Args:
        chunks: Chunks that the run may score, at least 1.
        batch: Chunks of a batch, at least 1.

    Returns:
        Ascending numbers; the last is ``chunks``.
    """
    found: list[int] = []
    size = float(FIRST_LOOK)
    while (rounded := -(-int(size) // batch) * batch) < chunks:
        # Small looks can be rounded up to the same batch.
        if not found or rounded > found[-1]:
            found.append(rounded)
        size *= GROWTH
    return (*found, chunks)


def look_confidence(settings: int, looks: int) -> float:
    """The confidence of one interval, so that all of a run hold together with 95 %.

    Thresholds are not counted: one interval serves all of them.

    Args:
        settings: Settings of the run, at least 1.
        looks: Planned looks, at least 1.
    """
    return 1 - (1 - CONFIDENCE) / (settings * len(METRICS) * looks)


@dataclass(frozen=True, slots=True)
class RunEnds:
    """After how many chunks a run may have ended.

    Attributes:
        sizes: The planned looks of a run that stops once it is settled; of any other the number of
            its chunks.
        order: The order in which it takes its chunks: ``random:1``.
    """

    sizes: tuple[int, ...]
    order: str


def looks_of_pair(a: RunEnds, b: RunEnds) -> int:
    """At how many sets of common chunks two runs may have been compared.

    Which chunks two runs have in common depends on when each of them stopped, and so on what they
    saw. Each such set is tested at its share of the 5 % (Bonferroni), as each look of one run is.

    Returns:
        1 where neither stops by itself.
    """
    if a.order == b.order:
        # The shorter of the two is the beginning of the other.
        return len({min(sizes) for sizes in itertools.product(a.sizes, b.sizes)})
    return len(a.sizes) * len(b.sizes)


def looks_together(runs: Iterable[RunEnds]) -> int:
    """The most of :func:`looks_of_pair` over all pairs of settings of some runs, at least one."""
    different = list(dict.fromkeys(runs))
    stopping = (run for run in different if len(run.sizes) > 1)
    pairs = itertools.product(stopping, different)
    return max((looks_of_pair(a, b) for a, b in pairs), default=1)


@dataclass(frozen=True, slots=True)
class LookEnds:
    """The interval of one metric at one look.

    Attributes:
        interval: It; None where there is none.
        noise: The value minus and plus the upper end of its noise floor; None where not measured.
    """

    interval: Interval | None
    noise: Interval | None = None

    @property
    def ends(self) -> Interval | None:
        """The interval, widened to the noise floor."""
        if self.interval is None or self.noise is None:
            return self.interval
        return Interval(
            min(self.interval.low, self.noise.low), max(self.interval.high, self.noise.high)
        )


def standing(found: Mapping[Metric, LookEnds], good: Bounds) -> Standing:
    """What a look says of a setting.

    Args:
        found: The interval of each metric.
        good: Bounds of ``good``; they are inclusive.

    Returns:
        ``settled good`` if every interval lies within its bound, ``settled worse`` if any lies
        beyond, else ``not settled``.
    """
    ends = {metric: found[metric].ends for metric in METRICS}
    if any(e is not None and e.low > getattr(good, m) for m, e in ends.items()):
        return "settled worse"
    if all(e is not None and e.high <= getattr(good, m) for m, e in ends.items()):
        return "settled good"
    return "not settled"


def open_metrics(found: Mapping[Metric, LookEnds], good: Bounds) -> tuple[Metric, ...]:
    """The metrics that keep a setting from being settled; none where it is."""
    if standing(found, good) != "not settled":
        return ()
    ends = {metric: found[metric].ends for metric in METRICS}
    return tuple(m for m, e in ends.items() if e is None or e.high > getattr(good, m))


def look_units(
    chunks: Iterable[int], documents: Mapping[int, int | None], planned: Iterable[int]
) -> Units:
    """The independent units of the chunks of a look.

    Documents, where all that is planned covers at least 5 of them; else chunks, whose intervals
    speak for these passages only. A look never falls back to chunks while documents are to come.

    Args:
        chunks: The chunks of the look.
        documents: Chunk to its document, None where unknown. All chunks of unknown documents are
            one unit.
        planned: All chunks that the run may score.
    """
    chunks = list(chunks)
    owners = [documents.get(chunk) for chunk in chunks]
    known = len({owner for owner in owners if owner is not None})
    if len({documents.get(chunk) for chunk in planned} - {None}) < FEW_DOCUMENTS:
        return Units("chunk", tuple(range(len(chunks))), len(chunks), known)
    place = {owner: i for i, owner in enumerate(dict.fromkeys(owners))}
    return Units("document", tuple(place[owner] for owner in owners), len(place), known)
