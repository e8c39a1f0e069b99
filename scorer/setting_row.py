"""One setting of a run as the JSON object of its report row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from scorer.bootstrap import RESAMPLES, quantile_interval
from scorer.facts import CORPUS_KEYS, RunFacts, SettingFacts
from scorer.intervals import (
    CONFIDENCE,
    FEW_CHUNKS,
    Interval,
    Units,
    mean_interval,
    units_of,
)
from scorer.job import KVSetting
from scorer.positions import Positions
from scorer.summary import Summary, exp_of, in_order, kl_summary, summarize
from scorer.verdict import KV, METRICS, Metric, OpenBound, Verdict, kv_verdict, open_bounds
from scorer.verdict import shown_verdict as shown

STATUSES = ("scored", "failed", "waiting")


@dataclass(frozen=True, slots=True)
class ScoredSetting:
    """What a run has of one setting.

    Attributes:
        setting: The setting.
        facts: Its facts.
        positions: Its scored positions, in any order; None where there are none.
        control: Positions of the dequantized path beside a deployed setting; None for none.
    """

    setting: KVSetting
    facts: SettingFacts
    positions: Positions | None
    control: Positions | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """The numbers of one setting with their intervals and verdict.

    Attributes:
        summary: Point estimates.
        units: What the intervals take as independent.
        kl_mean: Interval of the KL mean, nats.
        kl_p99: Bootstrap interval of the 99th percentile, nats.
        flip_rate: Interval of the flip rate, 0 to 1.
        nll_difference: Interval of ``mean(nll_quant − nll_ref)``, nats.
        verdict: Tier by the point estimates.
        open_bounds: Thresholds that leave it open.
        control: KL summary and flip rate of the control, or None.
    """

    summary: Summary
    units: Units
    kl_mean: Interval | None
    kl_p99: Interval | None
    flip_rate: Interval | None
    nll_difference: Interval | None
    verdict: Verdict
    open_bounds: list[OpenBound]
    control: tuple[dict[str, float], float] | None


def measure(facts: RunFacts, scored: ScoredSetting, positions: Positions) -> Measured:
    """Summaries, intervals and verdict of one setting.

    Args:
        facts: Of the run.
        scored: The setting.
        positions: Its positions on the chunks the report is about, at least one.

    Raises:
        SettingFailed: A position occurs twice or holds no number.
    """
    positions = in_order(positions)
    summary = summarize(
        positions,
        first_position=facts.first_position(scored.setting),
        n_depth=facts.positions_per_chunk(scored.setting),
    )
    sums = summary.per_chunk
    units = units_of(sums.chunks, facts.documents)
    chunk_of = positions.chunk.searchsorted(positions.chunk)
    rank = {int(first): i for i, first in enumerate(dict.fromkeys(chunk_of.tolist()))}
    owner = _ranks(chunk_of.tolist(), rank)
    values: dict[Metric, float] = {
        "kl_mean": summary.kl.mean,
        "kl_p99": summary.kl.p99,
        "flip_rate": summary.flip_rate,
    }
    intervals: dict[Metric, Interval | None] = {
        "kl_mean": mean_interval(sums.kl, sums.sizes, units),
        "kl_p99": quantile_interval(positions.kl, owner, summary.n_chunks),
        "flip_rate": mean_interval(sums.flips, sums.sizes, units),
    }
    return Measured(
        summary=summary,
        units=units,
        **intervals,
        nll_difference=mean_interval(sums.nll_difference, sums.sizes, units),
        verdict=kv_verdict(**values),
        open_bounds=open_bounds(values, intervals, summary.n_chunks, KV),
        control=None,
    )
