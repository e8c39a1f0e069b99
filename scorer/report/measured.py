"""One setting's numbers with their intervals and its verdict."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from scorer.report.setting_row import Intervals
from scorer.runs.facts import RunFacts, SettingFacts
from scorer.spec.settings.base import Setting
from scorer.spec.thresholds import Metric, Verdict
from scorer.stats.bootstrap import RESAMPLES, quantile_interval
from scorer.stats.intervals import CONFIDENCE, FEW_CHUNKS, Interval, Units, mean_interval, units_of
from scorer.stats.positions import Positions
from scorer.stats.summary import exp_of, in_order, kl_summary, summarize
from scorer.stats.summary_values import KLSummary, Summary
from scorer.stats.verdict import HeldBound, OpenBound, held_by, open_bounds, verdict_of


@dataclass(frozen=True, slots=True)
class ScoredSetting:
    """What a run has of one setting.

    Attributes:
        setting: The setting.
        facts: Its facts.
        positions: Its scored positions, in any order; None where there are none.
        control: Positions of the dequantized path beside a deployed setting; None for none.
        control_failed: The dequantized path was asked for and failed.
    """

    setting: Setting
    facts: SettingFacts
    positions: Positions | None
    control: Positions | None = None
    control_failed: bool = False

    @property
    def chunks(self) -> frozenset[int]:
        """Chunks scored; none for a setting that failed."""
        if self.positions is None or self.facts.failure is not None:
            return frozenset()
        return frozenset(np.unique(self.positions.chunk).tolist())


@dataclass(frozen=True, slots=True)
class Measured:
    """The numbers of one setting.

    Attributes:
        summary: Point estimates.
        units: What the intervals take as independent.
        kl_mean: 95 % interval of the KL mean, nats.
        kl_p99: Bootstrap interval of the 99th percentile, nats.
        flip_rate: Interval of the flip rate, 0 to 1.
        nll_difference: Interval of ``mean(nll_quant − nll_ref)``, nats.
        verdict: Tier by the point estimates.
        held_by: What keeps it from the next better tier.
        open_bounds: Thresholds that leave it open.
        control_kl: KL summary of the control, nats; None where none ran.
        control_flip_rate: Its flip rate, 0 to 1; None likewise.
    """

    summary: Summary
    units: Units
    kl_mean: Interval | None
    kl_p99: Interval | None
    flip_rate: Interval | None
    nll_difference: Interval | None
    verdict: Verdict
    held_by: list[HeldBound]
    open_bounds: list[OpenBound]
    control_kl: KLSummary | None = None
    control_flip_rate: float | None = None

    @property
    def intervals(self) -> Intervals:
        """The intervals, with how they were made."""
        ends = self.nll_difference
        ratio = delta = None
        if ends is not None:
            ref = self.summary.perplexity_ref
            ratio = Interval(exp_of(ends.low), exp_of(ends.high))
            delta = Interval(ref * (ratio.low - 1), ref * (ratio.high - 1))
        return Intervals(
            confidence=CONFIDENCE,
            unit=self.units.kind,
            n_units=self.units.count,
            n_documents=self.units.documents,
            label=self.units.label,
            note=few_chunks_note(self.summary.n_chunks),
            kl_p99_resamples=RESAMPLES,
            kl_mean=self.kl_mean,
            kl_p99=self.kl_p99,
            flip_rate=self.flip_rate,
            ln_perplexity_ratio=ends,
            perplexity_ratio=ratio,
            perplexity_delta=delta,
        )


def few_chunks_note(n_chunks: int) -> str:
    """What to say of intervals from so few chunks; empty from 5 on."""
    if n_chunks == 1:
        return "1 chunk gives no interval"
    if n_chunks < FEW_CHUNKS:
        return f"intervals from {n_chunks} chunks are rough"
    return ""


def measure(facts: RunFacts, scored: ScoredSetting, chunks: Collection[int]) -> Measured:
    """Summaries, intervals and verdict of one setting on the given chunks.

    Args:
        facts: Of the run.
        scored: The setting, with positions on at least one of the chunks.
        chunks: The chunks the report is about.

    Raises:
        SettingFailed: There is no position, one occurs twice or a value is not a number.
    """
    assert scored.positions is not None
    positions = in_order(_on(scored.positions, chunks))
    summary = summarize(
        positions,
        first_position=facts.first_position(scored.setting),
        n_depth=facts.positions_per_chunk(scored.setting),
    )
    thresholds = scored.setting.thresholds
    sums = summary.per_chunk
    units = units_of(sums.chunks, facts.documents)
    owner = np.repeat(np.arange(summary.n_chunks), sums.sizes)
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
    control = None if scored.control is None else _on(scored.control, chunks)
    control_kl, control_flips = kl_summary(control) if control else (None, None)
    return Measured(
        summary=summary,
        units=units,
        kl_mean=intervals["kl_mean"],
        kl_p99=intervals["kl_p99"],
        flip_rate=intervals["flip_rate"],
        nll_difference=mean_interval(sums.nll_difference, sums.sizes, units),
        verdict=verdict_of(**values, thresholds=thresholds),
        held_by=held_by(values, thresholds),
        open_bounds=open_bounds(values, intervals, summary.n_chunks, thresholds),
        control_kl=control_kl,
        control_flip_rate=control_flips,
    )


def _on(positions: Positions, chunks: Collection[int]) -> Positions:
    return positions.select(np.isin(positions.chunk, list(chunks)))
