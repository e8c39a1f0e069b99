"""What the looks of a run that stops once it is settled say, from what is scored."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from scorer.report.stopping_part import StoppedSetting, StoppingPart
from scorer.spec.thresholds import METRICS, Bounds, Metric
from scorer.stats.intervals import Interval, Units
from scorer.stats.look_intervals import LookValues, look_intervals
from scorer.stats.noise_floor import NoiseFloor
from scorer.stats.positions import SummaryColumns
from scorer.stats.quantiles import quantile
from scorer.stats.stopping import (
    LookEnds,
    look_confidence,
    look_sizes,
    look_units,
    open_metrics,
    standing,
)
from scorer.stats.summary import chunk_sums, in_order
from scorer.stats.summary_values import ChunkSums

if TYPE_CHECKING:
    from scorer.report.measured import ScoredSetting
    from scorer.runs.facts import RunFacts


def planned_looks(facts: RunFacts) -> tuple[int, ...]:
    """After how many chunks a run looks.

    Args:
        facts: Of the run, with all its planned chunks.
    """
    return look_sizes(len(facts.chunks), facts.batch)


def stopping_part(
    facts: RunFacts, rows: Sequence[ScoredSetting], look: int | None = None
) -> StoppingPart:
    """What one look of a run says.

    A setting that failed is not waited for, but counts in the confidence, as planned. Settings of
    the same arithmetic are one.

    Args:
        facts: Of the run, with all its planned chunks and the job that was asked.
        rows: Its settings; chunks that repeat another are left out of their positions.
        look: Which one, from 1; None for the last one whose chunks all settings have.
    """
    looks = planned_looks(facts)
    repeats = facts.equal_chunks or {}
    alive = [row for row in rows if row.facts.failure is None]
    computed = {row.facts.same_as or row.setting.key for row in rows}
    confidence = look_confidence(len(computed), len(looks))
    planned = [chunk for chunk in facts.chunks if chunk not in repeats]
    if look is None:
        look = sum(
            bool(alive) and all(row.chunks >= _distinct(facts, size) for row in alive)
            for size in looks
        )
    size = looks[look - 1] if look else 0
    chunks = _distinct(facts, size)
    ordered = sorted(chunks)
    units = look_units(ordered, facts.documents, planned)
    good = facts.job.thresholds.good
    settings = tuple(_at(row, ordered, units, confidence, good) for row in alive) if look else ()
    return StoppingPart(
        looks=looks,
        look=look,
        n_chunks=size,
        stopped=bool(settings) and all(s.standing != "not settled" for s in settings),
        order=facts.job.chunks,
        confidence=confidence,
        unit=units.kind,
        n_units=units.count,
        n_documents=units.documents,
        label=units.label,
        settings=settings,
    )


def _distinct(facts: RunFacts, size: int) -> frozenset[int]:
    """The first chunks of a run, those left out that repeat another."""
    return frozenset(facts.chunks[:size]).difference(facts.equal_chunks or {})


def _at(
    row: ScoredSetting, chunks: Sequence[int], units: Units, confidence: float, good: Bounds
) -> StoppedSetting:
    columns = in_order(row.columns(chunks))
    sums = chunk_sums(columns)
    unit_of = np.repeat(np.array(units.of_chunk, np.intp), sums.sizes)
    values = LookValues(columns.kl, unit_of, np.bincount(unit_of, minlength=units.count))
    intervals = look_intervals(sums, values, units, confidence)
    noise = _noise(row.facts.noise_floor, columns, sums)
    found = {metric: LookEnds(intervals[metric], noise.get(metric)) for metric in METRICS}
    return StoppedSetting(
        setting=row.setting.key,
        standing=standing(found, good),
        open=open_metrics(found, good),
        kl_mean=intervals["kl_mean"],
        kl_p99=intervals["kl_p99"],
        flip_rate=intervals["flip_rate"],
    )


def _noise(
    floor: NoiseFloor | None, columns: SummaryColumns, sums: ChunkSums
) -> dict[Metric, Interval]:
    """How far rounding can move the values of a look; empty where that was not measured."""
    if floor is None:
        return {}
    size = len(columns)
    values: dict[Metric, float] = {
        "kl_mean": sum(sums.kl) / size,
        "kl_p99": quantile(columns.kl, 0.99),
        "flip_rate": sum(sums.flips) / size,
    }
    found: dict[Metric, Interval] = {}
    for metric, value in values.items():
        upper = floor.upper(metric)
        found[metric] = Interval(value - upper, value + upper)
    return found
