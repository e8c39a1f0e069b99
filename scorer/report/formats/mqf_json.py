"""The report of one setting as mlx-quant-fidelity 0.10.0 writes it.

That is its ``FidelityReport`` for a setting of the KV cache, its ``WeightFidelityReport`` for
weights. It has exactly the keys of that class, because the package's own reader takes no other.
What ours holds beside them, intervals above all, is in the format ``json``. Pure standard library.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

from scorer.common.errors import InputError, SettingFailed
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import ReferencePart, Report
from scorer.report.weight_keys import WeightKeys
from scorer.runs.facts import reads_codes
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import WeightsSetting, cache_of, from_any_folder, weights_of
from scorer.stats.summary_values import DepthSpan
from scorer.text.provenance import CorpusProvenance


def chosen_setting(settings: Sequence[str], only: str | None = None) -> str:
    """The setting of a report that this format is to hold.

    Args:
        settings: Those of the report, in notation.
        only: The one that is wanted, in any notation of it or by its short name; None where there
            is only one.

    Raises:
        InputError: There are several and none is named, the named one is not among them, or it is
            weights with a quantized KV cache, for which that package has no report.
    """
    chosen = _chosen(settings, only)
    setting = parse_setting(chosen)
    if weights_of(setting) is not None and cache_of(setting) is not None:
        raise InputError(
            f"mqf-json holds weights or a KV cache, and `{chosen}` quantizes both",
            "--only names another setting; --format json holds them all",
        )
    return chosen


def _chosen(settings: Sequence[str], only: str | None) -> str:
    named = ", ".join(f"`{name}`" for name in settings)
    if only is not None:
        called = [name for name in settings if _short(name) == only.strip()]
        if len(called) == 1:
            return called[0]
        wanted = parse_setting(only)
        # A width without a group may have come to another group with this model.
        for name in (from_any_folder(wanted).key, wanted.key, *settings):
            group = parse_setting(name).kv_method.group_size or None
            asked = parse_setting(only, group_size=group)
            if name in settings and name in (from_any_folder(asked).key, asked.key):
                return name
        raise InputError(f"the report has no setting `{wanted.key}`", f"it has {named}")
    if len(settings) != 1:
        raise InputError(
            f"mqf-json holds one setting, and this report has {len(settings)}: {named}",
            f"--only {settings[0]} writes one; --format json holds them all",
        )
    return settings[0]


def _short(name: str) -> str:
    """How a report calls a setting where room is short: weights by the last part of their path."""
    setting = parse_setting(name)
    if not isinstance(setting, WeightsSetting):
        return name
    cache = "" if setting.cache is None else f"+{setting.cache.key}"
    return setting.source.name + cache


def to_mqf_json(report: Report, only: str | None = None) -> str:
    """One setting of a report as JSON text: indented, keys sorted, newline at the end.

    Infinite numbers are written ``Infinity``, as that package writes and reads them.

    Args:
        report: The report.
        only: The setting; None where there is only one.

    Raises:
        InputError: As of :func:`chosen_setting`.
        SettingFailed: The setting has no numbers.
    """
    chosen = chosen_setting([row.setting for row in report.settings], only)
    row = next(row for row in report.settings if row.setting == chosen)
    if row.failure is not None:
        raise SettingFailed(row.failure.message, row.failure.hint)
    if row.numbers is None:
        raise SettingFailed(f"setting `{row.setting}` has no scored chunk yet")
    chunks = report.chunks_of(row)
    if row.weight_keys is None:
        values = _values(row, row.numbers, chunks)
    else:
        values = _weight_values(row, row.numbers, row.weight_keys, report.reference, chunks)
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


def _values(row: SettingRow, numbers: SettingNumbers, chunks: Sequence[int]) -> dict[str, Any]:
    is_partial = row.kv_partial
    measured, working_set = row.measured_kv_bytes_per_token, row.working_set_bytes_per_token
    footing = "bundled" if reads_codes(row.arithmetic) else "quantizer_only"
    control = numbers.control_kl
    return {
        "model_id": row.model_id,
        "model_revision": row.model_revision,
        "kv_bits": row.kv_bits,
        "kv_group_size": row.kv_group_size,
        "kv_method": row.kv_method,
        "kv_method_params": row.kv_method_params,
        "kv_method_provenance": row.kv_method_provenance,
        # It counts layers only where some of them stay at full precision.
        "kv_partial": is_partial,
        "kv_layers_total": row.kv_layers_total if is_partial else None,
        "kv_layers_quantized": row.kv_layers_quantized if is_partial else None,
        "kv_layers_skipped": row.kv_layers_skipped if is_partial else None,
        "measured_kv_bytes_per_token": None if measured is None else round(measured),
        "working_set_bytes_per_token": None if working_set is None else round(working_set),
        "cache_supported": row.cache_supported,
        "drift_footing": row.drift_footing or footing,
        "quantize_mode": row.quantize_mode,
        "quantize_start": row.quantize_start,
        "corpus": _corpus(row.corpus),
        "n_chunks": row.n_chunks,
        "n_positions": numbers.n_positions,
        "kl": asdict(numbers.kl),
        "kl_by_depth": _depth(row, numbers),
        "flip_rate": numbers.flip_rate,
        "perplexity_ref": numbers.perplexity_ref,
        "perplexity_quant": numbers.perplexity_quant,
        "perplexity_delta": numbers.perplexity_delta,
        "control_kl": None if control is None else asdict(control),
        "control_flip_rate": numbers.control_flip_rate,
        # Beside weights a row is judged by the bounds of weights, in that package never.
        "verdict": row.kv_verdict or numbers.verdict,
        "warnings": [*row.warnings, *_only_here(row, numbers, chunks)],
        "device": row.device,
        "mlx_version": row.mlx_version or "unknown",
        "mlx_lm_version": row.mlx_lm_version or "unknown",
        "peak_memory_bytes": row.peak_memory_bytes,
    }


def _weight_values(
    row: SettingRow,
    numbers: SettingNumbers,
    keys: WeightKeys,
    reference: ReferencePart,
    chunks: Sequence[int],
) -> dict[str, Any]:
    return {
        **asdict(keys),
        "kl": asdict(numbers.kl),
        "flip_rate": numbers.flip_rate,
        "perplexity_ref": numbers.perplexity_ref,
        "perplexity_quant": numbers.perplexity_quant,
        "perplexity_delta": numbers.perplexity_delta,
        "n_positions": numbers.n_positions,
        "n_chunks": row.n_chunks,
        "corpus": _corpus(row.corpus),
        "mlx_version": row.mlx_version or "unknown",
        "mlx_lm_version": row.mlx_lm_version or "unknown",
        "peak_memory_bytes": row.peak_memory_bytes,
        "verdict": numbers.verdict,
        "warnings": [
            *row.warnings,
            *_of_precisions(row, reference),
            *_only_here(row, numbers, chunks),
        ],
        "device": row.device,
    }


def _of_precisions(row: SettingRow, reference: ReferencePart) -> list[str]:
    """What is to be known of the precision of the weights and of the reference's."""
    found = []
    own = reference.weights
    if own is not None and (own.is_quantized or len(own.notes) > 1):
        found += [note.rstrip(".") for note in own.notes]
    if row.weights is not None:
        found += [note.rstrip(".") for note in row.weights.notes]
    return found


def _corpus(corpus: CorpusProvenance) -> dict[str, Any]:
    """Where the text comes from; empty text where that package has no other word."""
    values = {field.name: getattr(corpus, field.name) for field in fields(CorpusProvenance)}
    return values | {"split": corpus.split or "", "tokenizer_id": corpus.tokenizer_id or ""}


def _depth(row: SettingRow, numbers: SettingNumbers) -> list[dict[str, Any]] | None:
    """KL by depth; None in deployment, of which that package gives none, and for empty spans."""
    spans: tuple[DepthSpan, ...] = numbers.kl_by_depth
    if row.quantize_mode != "stress" or any(span.kl_mean is None for span in spans):
        return None
    return [asdict(span) for span in spans]


def _only_here(row: SettingRow, numbers: SettingNumbers, chunks: Sequence[int]) -> list[str]:
    """What other formats say elsewhere, and this one has no key for."""
    found = []
    if tuple(chunks) != tuple(range(len(chunks))):
        found.append(
            "the chunks are not the first ones of the text, which mlx-quant-fidelity takes"
        )
    verdict = row.kv_verdict_shown or numbers.verdict_shown
    if verdict.endswith("?"):
        found.append(
            f"the verdict `{verdict}` is open: intervals, which this format does "
            "not hold, leave room for another"
        )
    return found
