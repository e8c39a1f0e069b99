"""A badge for a README: one image line per setting, for shields.io.

Pure standard library. A badge is quoted alone, so it names what its verdict is about: width,
text, length and mode, the protocol where it is not the usual one, and what is missing.
"""

from __future__ import annotations

from urllib.parse import quote

from scorer.common.inert_text import inert
from scorer.report.formats.inline import text
from scorer.report.formats.markdown_setting import bits_text
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report, RunPart

LABEL = "KV fidelity"
_COLORS = {"good": "brightgreen", "marginal": "yellow", "bad": "red"}


def badge_message(row: SettingRow, numbers: SettingNumbers, run: RunPart) -> str:
    """What stands on the badge of a scored setting.

    Args:
        row: The setting's row of the report.
        numbers: The row's numbers.
        run: What was run.
    """
    corpus, start, protocol = row.corpus, row.quantize_start, run.job.protocol
    parts = [
        numbers.verdict_shown,
        bits_text(row),
        f"{corpus.name}/{corpus.chunk_length}",
        f"deployment from {start}" if start else "stress",
    ]
    if row.kv_group_size != 64:
        parts.insert(2, f"group {row.kv_group_size}")
    if row.path != "deployed":
        parts.append(f"{row.path} path")
    if protocol != "mqf":
        parts.append(f"{protocol} protocol")
    if row.kv_partial:
        parts.append(f"partial {row.kv_layers_quantized}/{row.kv_layers_total} layers")
    if row.n_chunks != run.chunks_planned:
        parts.append(f"unfinished {row.n_chunks}/{run.chunks_planned} chunks")
    return inert(" · ".join(parts))


def to_badges(report: Report) -> str:
    """One Markdown image line per scored setting; empty where none is.

    Source of the field escapes: https://shields.io/badges/static-badge.
    """
    lines = []
    for row in report.settings:
        if row.numbers is not None:
            message = badge_message(row, row.numbers, report.run)
            color = _COLORS[row.numbers.verdict]
            url = f"https://img.shields.io/badge/{_field(LABEL)}-{_field(message)}-{color}"
            # A bracket that closes nothing ends the words of an image.
            words = text(f"{LABEL}: {message}").replace("]", "\\]")
            lines.append(f"![{words}]({url})\n")
    return "".join(lines)


def _field(value: str) -> str:
    escaped = value.replace("-", "--").replace("_", "__").replace(" ", "_")
    return quote(escaped, safe="")
