"""One setting of a run as the JSON object of its report row."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from scorer.report.measured import Measured, ScoredSetting
from scorer.report.warnings import setting_warnings
from scorer.runs.facts import CORPUS_KEYS, RunFacts
from scorer.stats.verdict import shown_verdict

# Keys that a setting without numbers holds as null, so that every row has the same keys.
_NUMBERS = (
    "n_positions",
    "kl",
    "kl_quantiles",
    "kl_by_depth",
    "by_confidence",
    "flip_rate",
    "same_top_token",
    "perplexity_ref",
    "perplexity_quant",
    "perplexity_delta",
    "perplexity_ratio",
    "ln_perplexity_ratio",
    "nll_correlation",
    "delta_p",
    "intervals",
    "kl_mean_per_chunk",
    "flips_per_chunk",
    "control_kl",
    "control_flip_rate",
    "verdict",
    "verdict_shown",
    "verdict_held_by",
    "verdict_open",
)


def setting_row(
    facts: RunFacts,
    scored: ScoredSetting,
    measured: Measured | None,
    n_chunks: int,
    warnings: list[str],
) -> dict[str, Any]:
    """The report's object for one setting; floats may be infinite.

    Args:
        facts: Of the run.
        scored: The setting.
        measured: Its numbers; None where it failed or has none yet.
        n_chunks: Chunks the report is about.
        warnings: Those about the whole run.
    """
    setting, own = scored.setting, scored.facts
    summary = None if measured is None else measured.summary
    n_scored = 0 if summary is None else n_chunks
    status = "scored" if summary else "failed" if own.failure else "waiting"
    return {
        "setting": setting.key,
        "status": status,
        "failure": own.failure,
        **_identity(facts, scored, n_scored),
        "n_chunks": n_scored,
        **(dict.fromkeys(_NUMBERS) if measured is None else _numbers(measured)),
        "control_note": _control_note(facts, scored, measured),
        "noise_floor": own.noise_floor,
        "warnings": [
            *warnings,
            *setting_warnings(
                own,
                setting,
                measured.verdict if measured else None,
                summary.perplexity_delta if summary else 0.0,
                summary.n_infinite if summary else 0,
            ),
        ],
        **_cost(facts, scored),
        "path": setting.path,
        "arithmetic": own.arithmetic,
        "same_as": own.same_as,
        "runnable_by_mlx_lm": own.runnable_by_mlx_lm,
        "engagement": list(own.engagement),
        "device": facts.device.get("name"),
        "mlx_version": facts.versions.get("mlx"),
        "mlx_lm_version": facts.versions.get("mlx-lm"),
        "peak_memory_bytes": own.peak_memory_bytes,
        "seconds": own.seconds,
    }


def _identity(facts: RunFacts, scored: ScoredSetting, n_chunks: int) -> dict[str, Any]:
    setting, own = scored.setting, scored.facts
    method = setting.kv_method
    corpus = {key: facts.corpus.get(key) for key in CORPUS_KEYS}
    corpus["n_tokens"] = n_chunks * facts.chunk_length
    return {
        "model_id": facts.model_id,
        "model_revision": facts.model_revision,
        "kv_bits": method.bits,
        "kv_group_size": method.group_size,
        "kv_method": own.kv_method,
        "kv_method_params": dict(method.params),
        "kv_layers_quantized": own.kv_layers_quantized,
        "kv_layers_skipped": dict(own.kv_layers_skipped),
        "kv_layers_total": own.kv_layers_total,
        "kv_partial": bool(own.kv_layers_skipped),
        "quantize_mode": setting.mode,
        "quantize_start": setting.start,
        "corpus": corpus,
    }


def _numbers(measured: Measured) -> dict[str, Any]:
    summary = measured.summary
    sums = summary.per_chunk
    return {
        "n_positions": summary.n_positions,
        "kl": asdict(summary.kl),
        "kl_quantiles": dict(summary.kl_quantiles),
        "kl_by_depth": [asdict(span) for span in summary.depth],
        "by_confidence": [asdict(bucket) for bucket in summary.confidence],
        "flip_rate": summary.flip_rate,
        "same_top_token": 1 - summary.flip_rate,
        "perplexity_ref": summary.perplexity_ref,
        "perplexity_quant": summary.perplexity_quant,
        "perplexity_delta": summary.perplexity_delta,
        "perplexity_ratio": summary.perplexity_ratio,
        "ln_perplexity_ratio": summary.ln_perplexity_ratio,
        "nll_correlation": summary.nll_correlation,
        "delta_p": dict(summary.delta_p),
        "intervals": measured.intervals_json(),
        "kl_mean_per_chunk": [
            total / size for total, size in zip(sums.kl, sums.sizes, strict=True)
        ],
        "flips_per_chunk": list(sums.flips),
        "control_kl": None if measured.control_kl is None else asdict(measured.control_kl),
        "control_flip_rate": measured.control_flip_rate,
        "verdict": measured.verdict,
        "verdict_shown": shown_verdict(measured.verdict, bool(measured.open_bounds)),
        "verdict_held_by": [asdict(bound) for bound in measured.held_by],
        "verdict_open": [asdict(bound) for bound in measured.open_bounds],
    }


def _control_note(facts: RunFacts, scored: ScoredSetting, measured: Measured | None) -> str | None:
    if not facts.job.control or (measured is not None and measured.control_kl is not None):
        return None
    if scored.setting.path == "dequantized":
        return "this setting is the dequantized path itself"
    if scored.facts.failure is not None:
        return "the setting failed"
    return "same arithmetic here: the deployed path is computed as the dequantized one"


def _cost(facts: RunFacts, scored: ScoredSetting) -> dict[str, Any]:
    per_token = facts.kv_bytes_per_token.get(scored.setting.key)
    context = facts.kv_bytes_context or facts.max_context
    full = facts.kv_bytes_per_token_16bit
    at_context = None if per_token is None or context is None else per_token * context
    return {
        "kv_bytes_per_token": per_token,
        "kv_bytes_per_token_16bit": full,
        "kv_bytes_share": None if per_token is None or not full else per_token / full,
        "measured_kv_bytes_per_token": scored.facts.measured_kv_bytes_per_token,
        "kv_context": context,
        "kv_bytes_at_context": at_context,
        "kv_bytes_at_context_16bit": None if context is None else full * context,
    }
