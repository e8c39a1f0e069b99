"""One setting's numbers with their intervals and its verdict."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from scorer.report.joint_intervals import joint_intervals
from scorer.report.role_drift import drift_by_role
from scorer.report.role_values import RoleDrift
from scorer.report.setting_row import Intervals, JointIntervals
from scorer.report.stopping_part import StoppingPart
from scorer.runs.facts import RunFacts, SettingFacts
from scorer.spec.settings.base import Setting
from scorer.spec.thresholds import Metric
from scorer.stats.bootstrap import RESAMPLES, quantile_interval
from scorer.stats.intervals import (
    CONFIDENCE,
    FEW_CHUNKS,
    Interval,
    Units,
    clustered_mean,
    mean_interval,
    units_of,
    with_width,
)
from scorer.stats.noise_floor import NoiseFloor
from scorer.stats.positions import FloatArray, Positions, SummaryColumns
from scorer.stats.proportions import proportion
from scorer.stats.settling import Outlook
from scorer.stats.stopping import FEWEST_UNITS
from scorer.stats.summary import chunk_sums, exp_of, in_order, kl_summary, summarize
from scorer.stats.summary_values import ChunkSums, KLSummary, Summary
from scorer.stats.verdict import P99_POSITIONS, Estimate, Judgement, Lack, judge

if TYPE_CHECKING:
    from scorer.runs.stored_chunks import StoredChunks


@dataclass(frozen=True, slots=True)
class ScoredSetting:
    """What a run has of one setting.

    Attributes:
        setting: The setting.
        facts: Its facts.
        positions: Its scored positions, in any order, or where they are stored; None where there
            are none.
        control: Those of the dequantized path beside a deployed setting; None for none.
        control_failed: The dequantized path was asked for and failed.
    """

    setting: Setting
    facts: SettingFacts
    positions: Positions | StoredChunks | None
    control: Positions | StoredChunks | None = None
    control_failed: bool = False

    @property
    def chunks(self) -> frozenset[int]:
        """Chunks scored; none for a setting that failed."""
        if self.positions is None or self.facts.failure is not None:
            return frozenset()
        return frozenset(_chunks_of(self.positions))

    def columns(self, chunks: Collection[int]) -> SummaryColumns:
        """What a summary of some of its chunks is made of.

        Args:
            chunks: Chunks that are scored.
        """
        assert self.positions is not None
        if isinstance(self.positions, Positions):
            chosen = self.positions.select(np.isin(self.positions.chunk, sorted(chunks)))
            return SummaryColumns.of(chosen)
        return self.positions.only(chunks).columns()


@dataclass(frozen=True, slots=True)
class Measured:
    """The numbers of one setting.

    Attributes:
        summary: Point estimates.
        units: What the intervals take as independent.
        estimates: What the verdict rests on.
        nll_difference: Interval of ``mean(nll_quant − nll_ref)``, nats.
        judgement: The verdict and what is open about it.
        control_kl: KL summary of the control, nats; None where none ran.
        control_flip_rate: Its flip rate, 0 to 1; None likewise.
        kv_judgement: The verdict by the bounds of the KV cache, where that is all that is quantized
            and the run is judged by those of weights; None else.
        by_role: The drift on what each role of a chat text said; empty for other texts.
        joint: Intervals of the criteria that hold together over all settings; None without units.
        stopping: The look that the intervals are of, in a run that stops once it is settled; None
            in any other run.
        later: Sums by chunk of the positions from some position on, by that position: what a
            setting with a start is compared with.
    """

    summary: Summary
    units: Units
    estimates: Mapping[Metric, Estimate]
    nll_difference: Interval | None
    judgement: Judgement
    control_kl: KLSummary | None = None
    control_flip_rate: float | None = None
    kv_judgement: Judgement | None = None
    by_role: tuple[RoleDrift, ...] = ()
    joint: JointIntervals | None = None
    stopping: StoppingPart | None = None
    later: Mapping[int, ChunkSums] = field(default_factory=dict)

    @property
    def intervals(self) -> Intervals:
        """The intervals, with how they were made."""
        ends, look = self.nll_difference, self.stopping
        ratio = delta = None
        if ends is not None:
            ref = self.summary.perplexity_ref
            ratio = Interval(exp_of(ends.low), exp_of(ends.high))
            delta = Interval(ref * (ratio.low - 1), ref * (ratio.high - 1))
        return Intervals(
            confidence=CONFIDENCE,
            simultaneous=look is not None,
            unit=self.units.kind,
            n_units=self.units.count,
            n_documents=self.units.documents,
            label=self.units.label,
            note=few_chunks_note(self.summary.n_chunks) if look is None else look_note(look),
            kl_p99_resamples=RESAMPLES if look is None else 0,
            kl_mean=self.estimates["kl_mean"].interval,
            kl_p99=self.estimates["kl_p99"].interval,
            flip_rate=self.estimates["flip_rate"].interval,
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


def look_note(look: StoppingPart) -> str:
    """What to say of the intervals of a run that stops once it is settled."""
    if look.look == 0:
        return f"no interval before the first look, at {look.looks[0]} chunks"
    return f"those of look {look.look} of {len(look.looks)}, at {look.n_chunks} chunks"


def measure(
    facts: RunFacts,
    scored: ScoredSetting,
    stopping: StoppingPart | None = None,
    later: Collection[int] = (),
) -> Measured:
    """Summaries, intervals and verdict of one setting on all its chunks.

    Args:
        facts: Of the run.
        scored: The setting, with positions on at least one chunk.
        stopping: The last look of a run that stops once it is settled: its intervals count, and no
            other; None for any other run.
        later: Positions of a chunk from which on its sums are wanted too.

    Raises:
        SettingFailed: There is no position, one occurs twice or a value is not a number.
    """
    assert scored.positions is not None
    control_kl, control_flips = _control(scored)
    columns = in_order(_columns(scored.positions))
    summary = summarize(
        columns,
        first_position=facts.first_position(scored.setting),
        n_depth=facts.positions_per_chunk(scored.setting),
    )
    sums = summary.per_chunk
    if stopping is None:
        units = units_of(sums.chunks, facts.documents)
        estimates = _estimates(columns.kl, summary, units, scored.facts.noise_floor)
    else:
        units = Units(stopping.unit, (), stopping.n_units, stopping.n_documents)
        estimates = _of_the_look(scored, summary, stopping)
    planned = [facts.documents.get(chunk) for chunk in facts.chunks]
    outlook = Outlook(summary.n_chunks, units.documents, planned)
    return Measured(
        summary=summary,
        units=units,
        estimates=estimates,
        nll_difference=None
        if stopping is not None
        else with_width(
            mean_interval(
                sums.nll_difference,
                sums.sizes,
                units,
                # No perplexity is below 1.
                lowest=-math.log(max(1.0, summary.perplexity_ref)),
            )
        ),
        judgement=judge(estimates, summary.n_positions, outlook, facts.job.thresholds),
        control_kl=control_kl,
        control_flip_rate=control_flips,
        kv_judgement=judge(estimates, summary.n_positions, outlook, scored.setting.thresholds)
        if scored.setting.thresholds != facts.job.thresholds
        else None,
        by_role=()
        if isinstance(scored.positions, Positions)
        else drift_by_role(scored.positions, facts.job.roles, facts.documents),
        joint=joint_intervals(columns.kl, sums, units, len(facts.job.settings)),
        stopping=stopping,
        later={
            first: chunk_sums(columns.select(behind))
            for first in later
            if (behind := columns.position >= first).any()
        },
    )


def _chunks_of(positions: Positions | StoredChunks) -> list[int]:
    if isinstance(positions, Positions):
        chunks: list[int] = np.unique(positions.chunk).tolist()
        return chunks
    return positions.chunks


def _columns(positions: Positions | StoredChunks) -> SummaryColumns:
    return SummaryColumns.of(positions) if isinstance(positions, Positions) else positions.columns()


def _estimates(
    kl: FloatArray, summary: Summary, units: Units, noise: NoiseFloor | None
) -> dict[Metric, Estimate]:
    """The metrics that a verdict rests on, with their intervals.

    Args:
        kl: (N,) float64, KL of the positions in order of chunk, nats.
        summary: Their summary.
        units: The units of its chunks.
        noise: The setting's noise floor, where measured.
    """
    sums = summary.per_chunk
    mean = clustered_mean(sums.kl, sums.sizes, units)
    counted = clustered_mean(sums.flips, sums.sizes, units)
    flips = proportion(counted, summary.n_positions, mean, sum(sums.kl_squares))
    p99 = None
    if summary.n_positions >= P99_POSITIONS:
        unit_of = np.repeat(np.array(units.of_chunk, np.int32), sums.sizes)
        p99 = with_width(quantile_interval(kl, unit_of, units.count))
    return {
        "kl_mean": Estimate(
            summary.kl.mean,
            None if mean is None else with_width(mean.interval(lowest=0.0)),
            mean,
            0.0 if noise is None else noise.upper("kl_mean"),
        ),
        "kl_p99": Estimate(
            summary.kl.p99, p99, noise=0.0 if noise is None else noise.upper("kl_p99")
        ),
        "flip_rate": Estimate(
            summary.flip_rate,
            None if flips is None else flips.interval(),
            flips,
            0.0 if noise is None else noise.upper("flip_rate"),
        ),
    }


def _of_the_look(
    scored: ScoredSetting, summary: Summary, stopping: StoppingPart
) -> dict[Metric, Estimate]:
    """The metrics that a verdict rests on, with the intervals of the last look."""
    found, noise = stopping.of(scored.setting.key), scored.facts.noise_floor
    lack: Lack | None = None
    if found is None:
        lack = "no look"
    elif stopping.n_units < FEWEST_UNITS:
        lack = "few units"
    values: dict[Metric, float] = {
        "kl_mean": summary.kl.mean,
        "kl_p99": summary.kl.p99,
        "flip_rate": summary.flip_rate,
    }
    return {
        metric: Estimate(
            value,
            None if found is None else found.interval(metric),
            noise=0.0 if noise is None else noise.upper(metric),
            lack=lack,
        )
        for metric, value in values.items()
    }


def _control(scored: ScoredSetting) -> tuple[KLSummary | None, float | None]:
    """KL and flip rate of the control on the chunks of its setting.

    None where it lacks one of them: it stands beside the setting.
    """
    control, chunks = scored.control, scored.chunks
    if control is None or not chunks.issubset(_chunks_of(control)):
        return None, None
    if isinstance(control, Positions):
        return kl_summary(control.select(np.isin(control.chunk, sorted(chunks))))
    return kl_summary(control.only(chunks).columns())
