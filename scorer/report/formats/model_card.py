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
from scorer.report.formats.markdown import comparison, warning_lines
from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report
from scorer.text.wikitext import REPO


def to_model_card(report: Report) -> str:
    """Metadata between ``---`` lines, then a Markdown section; for the top of a model card.

    Source: the Hub's ``model-index`` metadata of evaluation results.
    """
    name = inert(report.reference.model_id)
    protocol = report.run.job.protocol
    results = [_result(row, protocol) for row in report.settings]
    index = [{"name": name, "results": [result for result in results if result]}]
    lines = ["---", f"model-index: {_yaml(index)}", "---", "", "## KV-cache fidelity", ""]
    badges = to_badges(report)
    if badges:
        lines += [*badges.splitlines(), ""]
    lines += [
        f"What quantizing the KV cache costs {code(name)} against the same weights with a "
        "full-precision cache, teacher-forced, measured with qfid.",
        "",
        *warning_lines(report.run.warnings),
        *comparison(report),
        *shell_block(report.run.command),
    ]
    return "\n".join(lines) + "\n"


def _result(row: SettingRow, protocol: str) -> dict[str, Any] | None:
    if (numbers := row.numbers) is None:
        return None
    setting = row.setting
    values = {
        ("kl_divergence", "KL mean (nats)"): numbers.kl.mean,
        ("kl_divergence_p99", "KL p99 (nats)"): numbers.kl.p99,
        ("top_token_flip_rate", "top-token flips (share)"): numbers.flip_rate,
        ("perplexity", "perplexity"): numbers.perplexity_quant,
        ("perplexity_delta", "perplexity delta"): numbers.perplexity_delta,
    }
    metrics = [
        {"type": kind, "name": f"{words}, KV cache {setting}", "value": float(value)}
        for (kind, words), value in values.items()
        if math.isfinite(value)
    ]
    return {
        "task": {"type": "text-generation", "name": f"KV cache {setting}"},
        "dataset": _dataset(row, protocol),
        "metrics": metrics,
    }


def _dataset(row: SettingRow, protocol: str) -> dict[str, Any]:
    corpus = row.corpus
    length = f"{row.n_chunks} chunks of {corpus.chunk_length} tokens"
    conditions = f"{length}, {row.quantize_mode}, protocol {protocol}"
    found = {
        "name": f"{inert(corpus.name)} ({conditions})",
        "type": REPO if corpus.name == "wikitext-2-raw" else inert(corpus.name),
        "split": corpus.split and inert(corpus.split),
        "revision": corpus.dataset_revision,
    }
    return {key: value for key, value in found.items() if value}


def _yaml(value: Any) -> str:
    return json.dumps(value, allow_nan=False)
