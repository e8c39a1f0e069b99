"""The report of a run as JSON values: every setting's numbers, comparisons, recommendation.

``build_report`` is a function of the stored facts and positions alone, so that a saved run
prints the same report again, byte for byte.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from scorer.common.errors import SettingFailed
from scorer.report.commands import kv_command
from scorer.report.formats.json_text import report_text
from scorer.report.measured import Measured, ScoredSetting, measure
from scorer.report.ranking import Candidate, Pairs, beaten_by, frontiers
from scorer.report.recommendation import recommend
from scorer.report.rows import setting_row
from scorer.report.warnings import run_warnings
from scorer.runs.facts import RunFacts, SettingFacts
from scorer.spec.job import Job
from scorer.spec.thresholds import KV
from scorer.stats.pairs import PairedDifference, paired_difference

__all__ = [
    "SCHEMA",
    "UNITS",
    "RunFacts",
    "ScoredSetting",
    "SettingFacts",
    "build_report",
    "report_text",
]

SCHEMA = 1
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


def build_report(facts: RunFacts, settings: Sequence[ScoredSetting]) -> dict[str, Any]:
    """The report as JSON values.

    It is about the chunks that all its scored settings have. Infinities are written
    ``"Infinity"`` and ``"-Infinity"``, undefined numbers null: JSON knows neither.

    Args:
        facts: Of the run.
        settings: The settings in the order asked.

    Returns:
        ``schema``, ``reference``, ``settings`` (one object each), ``comparisons``,
        ``frontiers``, ``recommendation``, ``verdict_bounds``, ``run``, ``units``; with one
        setting its keys too. A setting whose positions are damaged is a failed row.
    """
    settings, measured, chunks = _measured(facts, settings)
    scored = [s for s in settings if str(s.setting) in measured]
    unequal = any(len(s.chunks) > len(chunks) for s in scored)
    perplexities = [m.summary.perplexity_ref for m in measured.values()]
    warnings = run_warnings(facts, perplexities, len(chunks), unequal)
    rows = [
        setting_row(facts, s, measured.get(str(s.setting)), len(chunks), warnings) for s in settings
    ]
    pairs = _pairs(facts, settings, measured)
    candidates = [_candidate(facts, s, measured[str(s.setting)]) for s in scored]
    beaten, found = beaten_by(candidates, pairs), frontiers(candidates, pairs)
    members = {name for frontier in found for name in frontier["settings"]}
    for row in rows:
        row["beaten_by"] = beaten.get(row["setting"])
        row["on_frontier"] = row["setting"] in members
    report = {
        "schema": SCHEMA,
        "reference": _reference(facts),
        "settings": rows,
        "comparisons": [_comparison(names, pair) for names, pair in pairs.items()],
        "frontiers": found,
        "recommendation": recommend(
            candidates,
            pairs,
            facts.kv_bytes_per_token_16bit,
            facts.job,
            _chunks_left(facts, len(chunks)),
        ),
        "verdict_bounds": {
            "good": dataclasses.asdict(KV.good),
            "marginal": dataclasses.asdict(KV.marginal),
        },
        "run": _run(facts, settings, chunks, measured, warnings),
        # Not an object: its keys would be those of a setting's report.
        "units": [{"key": key, "unit": unit} for key, unit in UNITS.items()],
    }
    if len(rows) == 1:
        report.update(rows[0])
    values: dict[str, Any] = _json_values(report)
    return values


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
                    found[str(scored.setting)] = measure(facts, scored, chunks)
            except SettingFailed as error:
                scored = _failed(scored, error)
            checked.append(scored)
        # A setting that drops out may have been the one that held the common chunks down.
        if all(a is b for a, b in zip(checked, settings, strict=True)):
            return checked, found, chunks
        settings = checked


def _failed(scored: ScoredSetting, error: SettingFailed) -> ScoredSetting:
    failure = {
        "error": type(error).__name__,
        "message": f"setting `{scored.setting}`: {error.message}",
        "hint": error.hint,
    }
    return replace(scored, facts=replace(scored.facts, failure=failure))


def _pairs(
    facts: RunFacts, settings: Sequence[ScoredSetting], measured: Mapping[str, Measured]
) -> Pairs:
    found: dict[tuple[str, str], PairedDifference] = {}
    for a, b in itertools.combinations(settings, 2):
        names = str(a.setting), str(b.setting)
        if facts.first_position(a.setting) != facts.first_position(b.setting):
            continue
        if names[0] in measured and names[1] in measured:
            sums = [measured[name].summary.per_chunk for name in names]
            found[names] = paired_difference(sums[0], sums[1], facts.documents)
    return found


def _comparison(names: tuple[str, str], pair: PairedDifference) -> dict[str, Any]:
    return {
        "a": names[0],
        "b": names[1],
        "kl_mean_difference": pair.mean,
        "interval": None if pair.interval is None else pair.interval.to_json(),
        "told_apart": pair.told_apart,
        "unit": pair.unit,
        "n_chunks": pair.n_chunks,
    }


def _candidate(facts: RunFacts, scored: ScoredSetting, measured: Measured) -> Candidate:
    return Candidate(
        setting=scored.setting,
        cost=facts.kv_bytes_per_token[str(scored.setting)],
        kl_mean=measured.summary.kl.mean,
        verdict=measured.verdict,
        is_open=bool(measured.open_bounds),
        more_chunks=_to_settle(measured),
        runnable=scored.facts.runnable_by_mlx_lm,
    )


def _chunks_left(facts: RunFacts, scored: int) -> int | None:
    """Chunks of the text that were not scored; None where the facts do not say how many it has."""
    total = facts.corpus.get("total_chunks")
    return total - scored if isinstance(total, int) else None


def _to_settle(measured: Measured) -> int | None:
    """Chunks that would settle all open bounds; None where a bound cannot be, or none is open."""
    needed = [bound.more_chunks for bound in measured.open_bounds]
    found = [chunks for chunks in needed if chunks is not None]
    return max(found) if found and len(found) == len(needed) else None


def _reference(facts: RunFacts) -> dict[str, Any]:
    return {
        "model_id": facts.model_id,
        "model_revision": facts.model_revision,
        "model_files": dict(facts.model_files),
        "architecture": facts.architecture,
        "weight_bits": facts.weight_bits,
        "kv_cache": "16 bit",
        "kv_bytes_per_token": facts.kv_bytes_per_token_16bit,
        "kv_layers": facts.kv_layers,
        "max_context": facts.max_context,
        "compute_dtype": facts.arithmetic.get("compute_dtype"),
    }


def _run(
    facts: RunFacts,
    settings: Sequence[ScoredSetting],
    chunks: list[int],
    measured: Mapping[str, Measured],
    warnings: list[str],
) -> dict[str, Any]:
    resolved = all(str(s.setting) in measured or s.facts.failure is not None for s in settings)
    done = resolved and (not measured or len(chunks) == len(facts.chunks))
    known = {facts.documents.get(chunk) for chunk in chunks} - {None}
    return {
        "complete": done,
        "command": kv_command(_reproducing(facts, settings), facts.model_revision),
        "job": replace(facts.job, settings=tuple(s.setting for s in settings)).to_json(),
        "chunks": chunks,
        "chunks_planned": len(facts.chunks),
        "documents_covered": len(known),
        "corpus": dict(facts.corpus),
        "scored_from": facts.scored_from,
        "batch": facts.batch,
        "device": dict(facts.device),
        "arithmetic": dict(facts.arithmetic),
        "versions": dict(facts.versions),
        "warnings": warnings,
    }


def _reproducing(facts: RunFacts, settings: Sequence[ScoredSetting]) -> Job:
    """The job with these settings; off the CPU numbers are bit-equal for the same batches only."""
    batch = facts.job.batch if facts.device.get("kind") == "cpu" else facts.batch
    return replace(facts.job, settings=tuple(s.setting for s in settings), batch=batch)


def _json_values(value: Any) -> Any:
    """The value with tuples as lists, infinities as words and undefined numbers as None."""
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {key: _json_values(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_json_values(item) for item in value]
    return value
