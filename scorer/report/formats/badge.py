"""A badge for a README: one image line per setting, for shields.io.

Pure standard library. A badge is quoted alone, so it names what its verdict is about: width,
text, length and mode, the protocol where it is not the usual one, what is missing, and the key that
says which other rows it may be ranked with; of a repo of quantized weights its name too.
"""

from __future__ import annotations

from urllib.parse import quote

from scorer.common.inert_text import inert
from scorer.report.formats.inline import text
from scorer.report.formats.key_words import mode_text
from scorer.report.formats.markdown_setting import bits_text
from scorer.report.formats.weight_words import group_text, has_cache, source_of, weights_text
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report, RunPart
from scorer.spec.settings.weights import StoredWeights

LABEL = "KV fidelity"
WEIGHTS_LABEL = "Weight fidelity"
PAIR_LABEL = "Weight and KV fidelity"
_COLORS = {"good": "brightgreen", "marginal": "yellow", "bad": "red"}


def badge_label(row: SettingRow) -> str:
    """What stands on the left of the badge of a setting."""
    if source_of(row) is None:
        return LABEL
    return PAIR_LABEL if has_cache(row) else WEIGHTS_LABEL


def badge_message(row: SettingRow, numbers: SettingNumbers, run: RunPart) -> str:
    """What stands on the badge of a scored setting.

    Args:
        row: The setting's row of the report.
        numbers: The row's numbers.
        run: What was run.
    """
    corpus, protocol = row.corpus, run.job.protocol
    # A badge about the KV cache is by its bounds, whatever else the run compares.
    parts = [row.kv_verdict_shown or numbers.verdict_shown]
    source = source_of(row)
    if source is not None:
        parts.append(f"{weights_text(row)}{group_text(row.weights, usual=64)}")
        if isinstance(source, StoredWeights):
            parts.append(source.name)
    if has_cache(row):
        cache = bits_text(row)
        parts.append(cache if source is None else f"{cache} KV cache")
        if row.kv_group_size != 64:
            parts.append(f"group {row.kv_group_size}")
    parts.append(f"{corpus.name}/{corpus.chunk_length}")
    if has_cache(row):
        parts.append(mode_text(row))
    if row.path != "deployed":
        parts.append(f"{row.path} path")
    if run.job.roles:
        parts.append(f"only {', '.join(run.job.roles)}")
    if protocol != "mqf":
        parts.append(f"{protocol} protocol")
    if row.kv_partial:
        parts.append(f"partial {row.kv_layers_quantized}/{row.kv_layers_total} layers")
    if row.n_chunks != run.chunks_planned:
        short = "scored on" if row.dropped else "unfinished"
        parts.append(f"{short} {row.n_chunks}/{run.chunks_planned} chunks")
    if row.key_text is not None:
        parts.append(f"key {row.key_text}")
    return inert(" · ".join(parts))


def to_badges(report: Report) -> str:
    """One Markdown image line per scored setting; empty where none is.

    Source of the field escapes: https://shields.io/badges/static-badge.
    """
    lines = []
    for row in report.settings:
        if row.numbers is not None:
            label, message = badge_label(row), badge_message(row, row.numbers, report.run)
            color = _COLORS[row.kv_verdict or row.numbers.verdict]
            url = f"https://img.shields.io/badge/{_field(label)}-{_field(message)}-{color}"
            # A bracket that closes nothing ends the words of an image.
            words = text(f"{label}: {message}").replace("]", "\\]")
            lines.append(f"![{words}]({url})\n")
    return "".join(lines)


def _field(value: str) -> str:
    escaped = value.replace("-", "--").replace("_", "__").replace(" ", "_")
    return quote(escaped, safe="")
