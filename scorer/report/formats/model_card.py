"""A block for a Hugging Face model card: results as metadata, and a section for readers.

Pure standard library. The metadata is YAML in its JSON form, which every YAML reader takes and
which no foreign text can leave.
"""

from __future__ import annotations

import json
import math
from typing import Any

from scorer.common.inert_text import inert
from scorer.report.formats.badge import to_badges
from scorer.report.formats.inline import code, shell_block
from scorer.report.formats.key_words import keys_sentence
from scorer.report.formats.markdown import comparison, warning_lines
from scorer.report.formats.markdown_roles import role_tables
from scorer.report.formats.markdown_weights import grid_lines, ladder_lines, reference_lines
from scorer.report.formats.short_names import ShortNames, short_names
from scorer.report.formats.stopping_words import stopping_lines
from scorer.report.formats.weight_words import has_cache, source_of
from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report
from scorer.spec.job import Job
from scorer.spec.settings.weights import StoredWeights
from scorer.text.wikitext import FILE, REPO

_RELATION = "quantized"


def to_model_card(report: Report) -> str:
    """Metadata between ``---`` lines, then a Markdown section; for the top of a model card.

    Where quantized weights are compared the block is for the card of the quantized repo: it holds
    the table of precisions, and the metadata names the reference as the base model.

    Source: the Hub's ``model-index`` and ``base_model`` metadata.
    """
    names = short_names(report)
    results: dict[str, list[dict[str, Any]]] = {}
    for row in report.settings:
        if (result := _result(row, report.run.job, names)) is not None:
            results.setdefault(_card_of(row, report, names), []).append(result)
    own = inert(report.reference.model_id)
    if any(name != own for name in results):
        # The card is of the quantized repo: what is made in memory has none.
        results.pop(own, None)
    found = results or {own: []}
    index = [{"name": name, "results": listed} for name, listed in found.items()]
    lines = ["---", *_base_model(report), f"model-index: {_yaml(index)}", "---", ""]
    lines += [f"## {_heading(report)}", ""]
    badges = to_badges(report)
    if badges:
        lines += [*badges.splitlines(), ""]
    lines += [_what(report), "", *warning_lines(report.run.warnings)]
    if report.grid is not None:
        lines += [*reference_lines(report), *ladder_lines(report, names)]
        lines += grid_lines(report, names)
    lines += stopping_lines(report, names)
    lines += [*comparison(report, names), *role_tables(report, names)]
    lines += [_keys(report, names), ""]
    lines += shell_block(report.run.command)
    return "\n".join(lines) + "\n"


def _heading(report: Report) -> str:
    return "KV-cache fidelity" if report.grid is None else "Fidelity of quantized weights"


def _what(report: Report) -> str:
    name = code(report.reference.model_id)
    if report.grid is None:
        return (
            f"What quantizing the KV cache costs {name} against the same weights with a "
            "full-precision cache, teacher-forced, measured with qfid."
        )
    caches = any(has_cache(row) for row in report.settings)
    what = "weights and KV cache" if caches else "the weights"
    return (
        f"What quantizing {what} costs against {name} with a full-precision cache, on the same "
        "text, teacher-forced, measured with qfid."
    )


def _keys(report: Report, names: ShortNames) -> str:
    """How the rows were scored, and which other rows they may be ranked with."""
    return f"Protocol `{report.run.job.protocol}`. {keys_sentence(report, names)}".rstrip()


def _card_of(row: SettingRow, report: Report, names: ShortNames) -> str:
    """The model that a row is about: its repo, folder or file by name, else the reference."""
    source = source_of(row)
    if isinstance(source, StoredWeights) and source.is_path:
        # The path of this machine says nothing to whoever reads a card.
        return names.names.get(source.key, inert(source.model))
    own = None if row.weights is None else row.weights.model_id
    return inert(report.reference.model_id if own is None else own)


def _base_model(report: Report) -> list[str]:
    """The metadata that names the reference; nothing where it is no repo of the Hub."""
    reference = report.reference
    if report.grid is None or reference.model_revision is None:
        return []
    return [
        f"base_model: {_yaml(inert(reference.model_id))}",
        f"base_model_relation: {_RELATION}",
    ]


def _result(row: SettingRow, job: Job, names: ShortNames) -> dict[str, Any] | None:
    if (numbers := row.numbers) is None:
        return None
    setting = inert(names.of(row.setting))
    what = f"KV cache {setting}"
    if source_of(row) is not None:
        what = f"weights and KV cache {setting}" if has_cache(row) else f"weights {setting}"
    values = {
        ("kl_divergence", "KL mean (nats)"): numbers.kl.mean,
        ("kl_divergence_p99", "KL p99 (nats)"): numbers.kl.p99,
        ("top_token_flip_rate", "top-token flips (share)"): numbers.flip_rate,
        ("perplexity", "perplexity"): numbers.perplexity_quant,
        ("perplexity_delta", "perplexity delta"): numbers.perplexity_delta,
    }
    conditions = _conditions(row, job)
    metrics = [
        {"type": kind, "name": f"{words}, {what}", "value": float(value), "args": conditions}
        for (kind, words), value in values.items()
        if math.isfinite(value)
    ]
    return {
        "task": {"type": "text-generation", "name": what},
        "dataset": _dataset(row, job, with_mode=has_cache(row)),
        "metrics": metrics,
    }


def _conditions(row: SettingRow, job: Job) -> dict[str, Any]:
    """What a metric rests on, as its arguments: tools of the Hub join results of one dataset."""
    cache = {"mode": row.quantize_mode, "quantize_start": row.quantize_start, "path": row.path}
    return {
        "setting": inert(row.setting),
        "chunk_length": row.corpus.chunk_length,
        "n_chunks": row.n_chunks,
        "protocol": job.protocol,
        **({"roles": ", ".join(job.roles)} if job.roles else {}),
        **(cache if has_cache(row) else {}),
        "comparability_key": row.comparability_key,
        **({"setting_fingerprint": own} if (own := row.setting_fingerprint) else {}),
    }


def _dataset(row: SettingRow, job: Job, *, with_mode: bool) -> dict[str, Any]:
    corpus = row.corpus
    length = f"{row.n_chunks} chunks of {corpus.chunk_length} tokens"
    mode = f", {row.quantize_mode}" if with_mode else ""
    only = f", only {', '.join(job.roles)}" if job.roles else ""
    conditions = f"{length}{mode}{only}, protocol {job.protocol}"
    from_hub = corpus.name == "wikitext-2-raw"
    found = {
        "name": f"{inert(corpus.name)} ({conditions})",
        # A text of one's own has no id on the Hub, and the key is required.
        "type": REPO if from_hub else inert(corpus.name) or "text",
        "config": FILE.partition("/")[0] if from_hub else None,
        "split": corpus.split and inert(corpus.split),
        "revision": corpus.dataset_revision,
    }
    return {key: value for key, value in found.items() if value}


def _yaml(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
