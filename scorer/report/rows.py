"""One setting of a run as its row of the report."""

from __future__ import annotations

import dataclasses

from scorer.report.measured import Measured, ScoredSetting
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.warnings import setting_warnings
from scorer.report.weight_keys import weight_keys
from scorer.runs.comparability import fingerprint_digest
from scorer.runs.facts import RunFacts, reads_codes
from scorer.spec.settings.base import KVMethod
from scorer.stats.verdict import shown_verdict
from scorer.text.provenance import CorpusProvenance


def setting_row(
    facts: RunFacts,
    scored: ScoredSetting,
    measured: Measured | None,
    warnings: list[str],
    own_warnings: list[str],
) -> SettingRow:
    """The report's row of one setting, not yet ranked.

    Args:
        facts: Of the run.
        scored: The setting.
        measured: Its numbers; None where it failed or has none yet.
        warnings: Those about the whole run.
        own_warnings: Those about the setting's chunks.
    """
    setting, own = scored.setting, scored.facts
    summary = None if measured is None else measured.summary
    n_chunks = 0 if summary is None else summary.n_chunks
    method = setting.kv_method
    per_token = facts.kv_bytes_per_token.get(setting.key)
    context = facts.kv_bytes_context or facts.max_context
    full = facts.kv_bytes_per_token_16bit
    beside = None if measured is None else measured.kv_judgement
    return SettingRow(
        setting=setting.key,
        status="scored" if summary else "failed" if own.failure else "waiting",
        failure=own.failure,
        model_id=facts.model_id,
        model_revision=facts.model_revision,
        kv_bits=method.bits,
        kv_group_size=method.group_size,
        kv_method=own.kv_method,
        kv_method_params=dict(method.params),
        kv_method_provenance=_method_provenance(facts, method),
        drift_footing="bundled" if reads_codes(own.arithmetic) else "quantizer_only",
        kv_layers_quantized=own.kv_layers_quantized,
        kv_layers_skipped=own.kv_layers_skipped,
        kv_layers_total=own.kv_layers_total,
        kv_partial=bool(own.kv_layers_skipped),
        quantize_mode=setting.mode,
        quantize_start=setting.start,
        corpus=_provenance(facts, n_chunks),
        n_chunks=n_chunks,
        numbers=None if measured is None else _numbers(measured),
        control_note=_control_note(facts, scored, measured),
        noise_floor=None if own.noise_floor is None else own.noise_floor.kl_mean.deviation,
        noise_floors=own.noise_floor,
        warnings=(
            *warnings,
            *own_warnings,
            *setting_warnings(
                own,
                setting,
                measured.judgement.verdict if measured else None,
                summary.perplexity_delta if summary else 0.0,
                summary.n_infinite if summary else 0,
            ),
        ),
        kv_bytes_per_token=per_token,
        kv_bytes_per_token_16bit=full,
        kv_bytes_share=None if per_token is None or not full else per_token / full,
        measured_kv_bytes_per_token=own.measured_kv_bytes_per_token,
        working_set_bytes_per_token=_working_set(facts, scored),
        kv_context=context,
        kv_bytes_at_context=None if per_token is None or context is None else per_token * context,
        kv_bytes_at_context_16bit=None if context is None else full * context,
        path=setting.path,
        arithmetic=own.arithmetic,
        same_as=own.same_as,
        runnable_by_mlx_lm=own.runnable_by_mlx_lm,
        engagement=own.engagement,
        device=facts.device.name,
        mlx_version=facts.versions.get("mlx"),
        mlx_lm_version=facts.versions.get("mlx-lm"),
        peak_memory_bytes=own.peak_memory_bytes,
        seconds=own.seconds,
        weights=own.weights,
        dropped=own.dropped,
        weight_keys=None
        if own.weights is None
        else weight_keys(own.weights, facts.weights, facts.model_id, facts.model_revision),
        kv_verdict=None if beside is None else beside.verdict,
        kv_verdict_shown=None if beside is None else shown_verdict(beside.verdict, beside.is_open),
        setting_fingerprint=fingerprint_digest(own.fingerprint),
    )


def _provenance(facts: RunFacts, n_chunks: int) -> CorpusProvenance:
    """mlx-quant-fidelity's keys of the text; its tokens are those of the chunks scored."""
    names = [field.name for field in dataclasses.fields(CorpusProvenance)]
    values = {name: getattr(facts.corpus, name) for name in names}
    return CorpusProvenance(**values | {"n_tokens": n_chunks * facts.chunk_length})


def _numbers(measured: Measured) -> SettingNumbers:
    summary, judgement = measured.summary, measured.judgement
    sums = summary.per_chunk
    return SettingNumbers(
        n_positions=summary.n_positions,
        chunks=sums.chunks,
        kl=summary.kl,
        kl_quantiles=summary.kl_quantiles,
        kl_by_depth=summary.depth,
        by_confidence=summary.confidence,
        by_role=measured.by_role,
        flip_rate=summary.flip_rate,
        same_top_token=1 - summary.flip_rate,
        perplexity_ref=summary.perplexity_ref,
        perplexity_quant=summary.perplexity_quant,
        perplexity_delta=summary.perplexity_delta,
        perplexity_ratio=summary.perplexity_ratio,
        ln_perplexity_ratio=summary.ln_perplexity_ratio,
        nll_correlation=summary.nll_correlation,
        delta_p=summary.delta_p,
        intervals=measured.intervals,
        joint_intervals=measured.joint,
        kl_mean_per_chunk=tuple(
            total / size for total, size in zip(sums.kl, sums.sizes, strict=True)
        ),
        flips_per_chunk=sums.flips,
        positions_per_chunk=sums.sizes if len(set(sums.sizes)) > 1 else (),
        control_kl=measured.control_kl,
        control_flip_rate=measured.control_flip_rate,
        verdict=judgement.verdict,
        verdict_shown=shown_verdict(judgement.verdict, judgement.is_open),
        verdict_held_by=judgement.held_by,
        verdict_open=judgement.open_bounds,
        verdict_without_interval=judgement.without_interval,
    )


def _method_provenance(facts: RunFacts, method: KVMethod) -> dict[str, str]:
    """Where the method comes from, in mlx-quant-fidelity's words."""
    package = "mlx-lm" if method.is_stock else "mlx"
    found = {"package": package}
    if version := facts.versions.get(package):
        found["version"] = version
    if not method.is_stock:
        found |= {name: str(value) for name, value in method.params.items()}
    return found


def _working_set(facts: RunFacts, scored: ScoredSetting) -> float | None:
    """Bytes per token that a deployment of the setting holds beside the stored ones."""
    own, setting = scored.facts, scored.setting
    if reads_codes(own.arithmetic) or (setting.path == "deployed" and own.runnable_by_mlx_lm):
        return 0.0
    if own.dequantized_bytes_per_token is None and setting.kv_method.bits is not None:
        # Both sides are quantized.
        return facts.kv_bytes_per_token_16bit
    return own.dequantized_bytes_per_token


def _control_note(facts: RunFacts, scored: ScoredSetting, measured: Measured | None) -> str | None:
    if not facts.job.control or (measured is not None and measured.control_kl is not None):
        return None
    if scored.setting.path == "dequantized":
        return "this setting is the dequantized path itself"
    if scored.facts.failure is not None:
        return "the setting failed"
    if scored.control_failed:
        return "the control failed"
    if scored.control is not None:
        return "it was not scored on every chunk that the setting has"
    return "same arithmetic here: the deployed path is computed as the dequantized one"
