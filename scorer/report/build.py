"""The report of a run: every setting's numbers, comparisons, recommendation.

``build_report`` is a function of the stored facts and positions alone, so that a saved run
prints the same report again, byte for byte.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace

from scorer.common.errors import SettingFailed
from scorer.report.commands import kv_command
from scorer.report.measured import Measured, ScoredSetting, measure
from scorer.report.ranking import Candidate, Pairs, beaten_by, frontiers
from scorer.report.recommendation import recommend
from scorer.report.rows import setting_row
from scorer.report.tree import KeyUnit, PairComparison, ReferencePart, Report, RunPart
from scorer.report.warnings import run_warnings
from scorer.runs.facts import FailureFacts, RunFacts
from scorer.spec.job import Job
from scorer.stats.pairs import (
    PairedDifference,
    as_family,
    indistinct_groups,
    paired_difference,
)

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
    "kv_bytes_at_context": "bytes",
    "kv_context": "tokens",
    "peak_memory_bytes": "bytes",
    "seconds": "seconds",
    "comparisons": "nats",
}


def build_report(facts: RunFacts, settings: Sequence[ScoredSetting]) -> Report:
    """The report of a run.

    It is about the chunks that all its scored settings have. A setting whose positions are damaged
    is a failed row.

    Args:
        facts: Of the run.
        settings: The settings in the order asked.
    """
    settings, measured, chunks = _measured(facts, settings)
    scored = [s for s in settings if s.setting.key in measured]
    unequal = any(len(s.chunks) > len(chunks) for s in scored)
    perplexities = [m.summary.perplexity_ref for m in measured.values()]
    warnings = run_warnings(facts, perplexities, len(chunks), unequal)
    rows = [
        setting_row(facts, s, measured.get(s.setting.key), len(chunks), warnings) for s in settings
    ]
    pairs = as_family(_pairs(facts, settings, measured), _noise(settings))
    candidates = [_candidate(facts, s, measured[s.setting.key]) for s in scored]
    beaten, found = beaten_by(candidates, pairs), frontiers(candidates, pairs)
    members = {name for frontier in found for name in frontier.settings}
    return Report(
        reference=_reference(facts),
        settings=tuple(
            replace(row, beaten_by=beaten.get(row.setting), on_frontier=row.setting in members)
            for row in rows
        ),
        comparisons=tuple(_comparison(names, pair) for names, pair in pairs.items()),
        indistinct=tuple(indistinct_groups([s.setting.key for s in scored], pairs)),
        frontiers=tuple(found),
        recommendation=recommend(
            candidates,
            pairs,
            facts.kv_bytes_per_token_16bit,
            facts.job,
            _chunks_left(facts, len(chunks)),
        ),
        verdict_bounds=settings[0].setting.thresholds,
        run=_run(facts, settings, chunks, measured, warnings),
        units=tuple(KeyUnit(key, unit) for key, unit in UNITS.items()),
    )


def _measured(
    facts: RunFacts, settings: Sequence[ScoredSetting]
) -> tuple[list[ScoredSetting], dict[str, Measured], list[int]]:
    """The settings (damaged ones marked failed), their numbers, and the chunks both are about."""
    while True:
        sets = [s.chunks for s in settings if s.chunks]
        chunks = sorted(frozenset.intersection(*sets)) if sets else []
        found: dict[str, Measured] = {}
        checked = []
        for scored in settings:
            try:
                if chunks and scored.chunks:
                    found[scored.setting.key] = measure(facts, scored, chunks)
            except SettingFailed as error:
                scored = _failed(scored, error)
            checked.append(scored)
        # A setting that drops out may have been the one that held the common chunks down.
        if all(a is b for a, b in zip(checked, settings, strict=True)):
            return checked, found, chunks
        settings = checked


def _failed(scored: ScoredSetting, error: SettingFailed) -> ScoredSetting:
    message = f"setting `{scored.setting.key}`: {error.message}"
    failure = FailureFacts(type(error).__name__, message, error.hint)
    return replace(scored, facts=replace(scored.facts, failure=failure))


def _pairs(
    facts: RunFacts, settings: Sequence[ScoredSetting], measured: Mapping[str, Measured]
) -> Pairs:
    found: dict[tuple[str, str], PairedDifference] = {}
    for a, b in itertools.combinations(settings, 2):
        names = a.setting.key, b.setting.key
        if facts.first_position(a.setting) != facts.first_position(b.setting):
            continue
        if names[0] in measured and names[1] in measured:
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


def _candidate(facts: RunFacts, scored: ScoredSetting, measured: Measured) -> Candidate:
    return Candidate(
        setting=scored.setting,
        cost=facts.kv_bytes_per_token[scored.setting.key],
        kl_mean=measured.summary.kl.mean,
        verdict=measured.judgement.verdict,
        is_open=measured.judgement.is_open,
        more_chunks=measured.judgement.more_chunks,
        runnable=scored.facts.runnable_by_mlx_lm,
    )


def _chunks_left(facts: RunFacts, scored: int) -> int | None:
    """Chunks of the text that were not scored; None where the facts do not say how many it has."""
    total = facts.corpus.total_chunks
    return None if total is None else total - scored


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
    )


def _run(
    facts: RunFacts,
    settings: Sequence[ScoredSetting],
    chunks: list[int],
    measured: Mapping[str, Measured],
    warnings: list[str],
) -> RunPart:
    resolved = all(s.setting.key in measured or s.facts.failure is not None for s in settings)
    done = resolved and (not measured or len(chunks) == len(facts.chunks))
    known = {facts.documents.get(chunk) for chunk in chunks} - {None}
    return RunPart(
        complete=done,
        command=kv_command(_reproducing(facts, settings), facts.model_revision),
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
