"""The report of a run: every setting's numbers, comparisons, recommendation.

``build_report`` is a function of the stored facts and positions alone, so that a saved run
prints the same report again, byte for byte.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scorer.common.errors import SettingFailed
from scorer.report.commands import run_command
from scorer.report.deployment import deployment_part
from scorer.report.deployment_part import DeploymentPart
from scorer.report.formats.open_verdict import settling
from scorer.report.groups import with_groups
from scorer.report.measured import Measured, ScoredSetting, measure
from scorer.report.ranking import Candidate, Pairs, beaten_by, frontiers, groups_of
from scorer.report.recommendation import recommend, recommended_deployment
from scorer.report.rows import setting_row
from scorer.report.rules import RULES
from scorer.report.setting_row import SettingRow
from scorer.report.stopping_part import StoppingPart
from scorer.report.tree import KeyUnit, PairComparison, ReferencePart, Report, RunPart
from scorer.report.warnings import few_chunks_warning, run_warnings
from scorer.report.weights_grid import grid_of, interactions_of, later_positions
from scorer.runs.comparability import ComparabilityKey, common_chunks
from scorer.runs.facts import FailureFacts, RunFacts
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.job import Job
from scorer.stats.pairs import (
    PairedDifference,
    as_family,
    indistinct_groups,
    paired_difference,
)
from scorer.stats.summary_values import Summary

UNITS = {
    "kl": "nats",
    "kl_quantiles": "nats",
    "kl_by_depth": "nats; positions counted from the first scored one",
    "by_confidence": "nats; flip_rate from 0 to 1; edges: the reference's top probability",
    "control_kl": "nats",
    "flip_rate": "share of positions, 0 to 1",
    "same_top_token": "share of positions, 0 to 1",
    "perplexity_ref": "exp of nats per token",
    "perplexity_quant": "exp of nats per token",
    "perplexity_delta": "difference of perplexities",
    "ln_perplexity_ratio": "nats",
    "delta_p": "percent of probability",
    "kl_mean_per_chunk": "nats",
    "flips_per_chunk": "positions",
    "noise_floor": "nats",
    "kv_bytes_per_token": "bytes",
    "measured_kv_bytes_per_token": "bytes",
    "working_set_bytes_per_token": "bytes",
    "kv_bytes_at_context": "bytes",
    "kv_context": "tokens",
    "peak_memory_bytes": "bytes",
    "seconds": "seconds",
    "comparisons": "nats",
}


def build_report(
    facts: RunFacts, settings: Sequence[ScoredSetting], stopping: StoppingPart | None = None
) -> Report:
    """The report of a run.

    The figures of a setting rest on all its own chunks. Frontiers, ranks and pairs rest on the
    chunks that the settings they join have in common. A setting whose positions are damaged is a
    failed row.

    Args:
        facts: Of the run.
        settings: The settings in the order asked.
        stopping: The last look of a run that stops once it is settled; None for any other run.
    """
    settings, measured = _measured(facts, settings, stopping)
    scored = [s for s in settings if s.setting.key in measured]
    perplexities = [m.summary.perplexity_ref for m in measured.values()]
    counts = [m.summary.n_chunks for m in measured.values()]
    dropped = {s.setting.key for s in settings if s.facts.dropped}
    whole = [m.summary.n_chunks for name, m in measured.items() if name not in dropped]
    warnings = run_warnings(facts, perplexities, whole or counts)
    rows = []
    for s in settings:
        found_here = measured.get(s.setting.key)
        few: list[str] = []
        if found_here is not None and len(set(counts)) > 1:
            few = few_chunks_warning(found_here.summary.n_chunks, facts)
        rows.append(setting_row(facts, s, found_here, warnings, few))
    looks = 1 if stopping is None else len(stopping.looks)
    pairs = as_family(_pairs(facts, scored, measured), _noise(settings), looks)
    comparisons = tuple(_comparison(names, pair) for names, pair in pairs.items())
    reference, job = _reference(facts), facts.job
    grid = grid_of([s.setting for s in settings])
    deployment = None
    if grid is not None or job.deployment is not None:
        spec = job.deployment or DeploymentSpec()
        deployment = deployment_part(reference, rows, comparisons, spec)
    costs = facts.kv_bytes_per_token
    if deployment is not None:
        costs = {row.setting: _total(row, facts, deployment) for row in rows}
    candidates = _candidates(facts, scored, measured, costs)
    beaten, found = beaten_by(candidates, pairs), frontiers(candidates, pairs)
    members = {name for frontier in found for name in frontier.settings}
    made = Report(
        rules=RULES,
        reference=reference,
        settings=tuple(
            replace(row, beaten_by=beaten.get(row.setting), on_frontier=row.setting in members)
            for row in rows
        ),
        comparisons=comparisons,
        indistinct=tuple(indistinct_groups([s.setting.key for s in scored], pairs)),
        frontiers=tuple(found),
        recommendation=recommend(candidates, pairs, facts.kv_bytes_per_token_16bit, job)
        if deployment is None
        else recommended_deployment(deployment, rows),
        verdict_bounds=job.thresholds,
        run=_run(facts, settings, measured, warnings),
        units=tuple(KeyUnit(key, unit) for key, unit in UNITS.items()),
        grid=grid,
        deployment=deployment,
        interactions=tuple(
            interactions_of(
                [s.setting for s in scored],
                {name: each.summary.per_chunk for name, each in measured.items()},
                {name: each.later for name, each in measured.items()},
                {name: each.judgement.verdict for name, each in measured.items()},
                pairs,
                facts,
                looks,
            )
        ),
        stopping=stopping,
    )
    return with_groups(made)


def _measured(
    facts: RunFacts, settings: Sequence[ScoredSetting], stopping: StoppingPart | None
) -> tuple[list[ScoredSetting], dict[str, Measured]]:
    """The settings, damaged ones marked failed, and the numbers of those that have some."""
    found: dict[str, Measured] = {}
    checked = []
    later = later_positions([each.setting for each in settings], facts)
    for scored in settings:
        try:
            if scored.chunks:
                key = scored.setting.key
                found[key] = measure(facts, scored, stopping, later.get(key, ()))
        except SettingFailed as error:
            scored = _failed(scored, error)
        checked.append(scored)
    return checked, found


def _failed(scored: ScoredSetting, error: SettingFailed) -> ScoredSetting:
    message = f"setting `{scored.setting.key}`: {error.message}"
    failure = FailureFacts(type(error).__name__, message, error.hint)
    return replace(scored, facts=replace(scored.facts, failure=failure))


def _pairs(
    facts: RunFacts, scored: Sequence[ScoredSetting], measured: Mapping[str, Measured]
) -> Pairs:
    """Every two settings that may be ranked, on the chunks that both have."""
    found: dict[tuple[str, str], PairedDifference] = {}
    for a, b in itertools.combinations(scored, 2):
        keys = [ComparabilityKey.of(s.setting, s.chunks) for s in (a, b)]
        if not keys[0].differences(keys[1]):
            names = a.setting.key, b.setting.key
            sums = [measured[name].summary.per_chunk for name in names]
            found[names] = paired_difference(sums[0], sums[1], facts.documents)
    return found


def _comparison(names: tuple[str, str], pair: PairedDifference) -> PairComparison:
    return PairComparison(
        a=names[0],
        b=names[1],
        kl_mean_difference=pair.mean,
        interval=pair.interval,
        told_apart=pair.told_apart,
        unit=pair.unit,
        n_chunks=pair.n_chunks,
        p_value=pair.p_value,
        below_noise_floor=pair.below_noise_floor,
        label=pair.label,
    )


def _noise(settings: Sequence[ScoredSetting]) -> dict[str, float]:
    """Upper end of the noise floor of the KL mean, nats, of the settings that have one."""
    floors = {s.setting.key: s.facts.noise_floor for s in settings}
    return {name: floor.kl_mean.upper for name, floor in floors.items() if floor is not None}


def _candidates(
    facts: RunFacts,
    scored: Sequence[ScoredSetting],
    measured: Mapping[str, Measured],
    costs: Mapping[str, float],
) -> list[Candidate]:
    """The scored settings as ranking sees them, in the order asked.

    Args:
        facts: Of the run.
        scored: The settings.
        measured: Their numbers, by notation.
        costs: Their bytes, by notation: of the KV cache per token, or of all that is deployed.
    """
    found = [_candidate(facts, s, measured[s.setting.key], costs) for s in scored]
    kl_means = {}
    for group in groups_of(found):
        common = common_chunks(candidate.key for candidate in group)
        for candidate in group:
            kl_means[candidate.name] = _kl_mean_on(measured[candidate.name].summary, common)
    return [replace(candidate, kl_mean=kl_means[candidate.name]) for candidate in found]


def _candidate(
    facts: RunFacts, scored: ScoredSetting, measured: Measured, costs: Mapping[str, float]
) -> Candidate:
    """A setting with its KL mean over all its own chunks."""
    judgement, n_chunks = measured.judgement, measured.summary.n_chunks
    return Candidate(
        setting=scored.setting,
        cost=costs[scored.setting.key],
        kl_mean=measured.summary.kl.mean,
        verdict=judgement.verdict,
        is_open=judgement.is_open,
        runnable=scored.facts.runnable_by_mlx_lm,
        more_chunks=judgement.more_chunks,
        settling=settling(
            judgement.open_bounds, judgement.without_interval, n_chunks, facts.corpus.total_chunks
        ),
        chunks=frozenset(measured.summary.per_chunk.chunks),
    )


def _total(row: SettingRow, facts: RunFacts, deployment: DeploymentPart) -> float:
    """Bytes of a setting in a deployment; without a prefill peak where it has no place there."""
    if (cell := deployment.cell(row.setting)) is not None:
        return cell.least_bytes
    own = row.weights or facts.weights
    cache = facts.kv_bytes_per_token[row.setting] * deployment.context * deployment.parallel
    return cache + (0 if own is None else own.weight_bytes)


def _kl_mean_on(summary: Summary, chunks: frozenset[int]) -> float:
    """KL mean over some of a setting's chunks, nats; NaN over none."""
    sums = summary.per_chunk
    if len(chunks) == len(sums.chunks):
        return summary.kl.mean
    parts = [
        (kl, size)
        for chunk, kl, size in zip(sums.chunks, sums.kl, sums.sizes, strict=True)
        if chunk in chunks
    ]
    return sum(kl for kl, _ in parts) / sum(size for _, size in parts) if parts else math.nan


def _reference(facts: RunFacts) -> ReferencePart:
    return ReferencePart(
        model_id=facts.model_id,
        model_revision=facts.model_revision,
        model_files=facts.model_files,
        architecture=facts.architecture,
        weight_bits=facts.weight_bits,
        kv_bytes_per_token=facts.kv_bytes_per_token_16bit,
        kv_layers=facts.kv_layers,
        max_context=facts.max_context,
        compute_dtype=facts.arithmetic.compute_dtype,
        weights=facts.weights,
        shape=facts.shape,
    )


def _run(
    facts: RunFacts,
    settings: Sequence[ScoredSetting],
    measured: Mapping[str, Measured],
    warnings: list[str],
) -> RunPart:
    resolved = all(s.setting.key in measured or s.facts.failure is not None for s in settings)
    dropped = {s.setting.key for s in settings if s.facts.dropped}
    done = resolved and all(
        name in dropped or m.summary.n_chunks == len(facts.chunks) for name, m in measured.items()
    )
    chunks = sorted({chunk for m in measured.values() for chunk in m.summary.per_chunk.chunks})
    known = {facts.documents.get(chunk) for chunk in chunks} - {None}
    return RunPart(
        complete=done,
        command=run_command(
            _reproducing(facts, settings),
            facts.model_revision,
            allow_custom_code=bool(facts.custom_code),
        ),
        job=replace(facts.job, settings=tuple(s.setting for s in settings)),
        chunks=tuple(chunks),
        chunks_planned=len(facts.chunks),
        documents_covered=len(known),
        corpus=facts.corpus,
        scored_from=facts.scored_from,
        batch=facts.batch,
        device=facts.device,
        arithmetic=facts.arithmetic,
        versions=facts.versions,
        warnings=tuple(warnings),
    )


def _reproducing(facts: RunFacts, settings: Sequence[ScoredSetting]) -> Job:
    """The job with these settings; off the CPU numbers are bit-equal for the same batches only."""
    batch = facts.job.batch if facts.device.kind == "cpu" else facts.batch
    return replace(facts.job, settings=tuple(s.setting for s in settings), batch=batch)
