"""Which rows may be ranked together, in words: their comparability keys. Standard library."""

from __future__ import annotations

from scorer.report.formats.inline import code
from scorer.report.formats.short_names import ShortNames
from scorer.report.formats.weight_words import has_cache
from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report

RULE = "Only rows of one key may be ranked together."
NOT_KNOWN = "not known"


def mode_text(row: SettingRow) -> str:
    """From where on the KV cache is quantized: ``stress`` or ``deployment from 64``."""
    return f"deployment from {row.quantize_start}" if row.quantize_start else "stress"


def key_code(row: SettingRow) -> str:
    """The key of a row as it is printed beside its numbers."""
    return NOT_KNOWN if row.key_text is None else code(row.key_text)


def keys_sentence(report: Report, names: ShortNames) -> str:
    """How the rows were scored, and their keys; "" where no row is scored.

    Where a setting names weights of a repo or folder, the key goes on with their content.
    """
    settings: dict[tuple[str, str], list[str]] = {}
    for row in report.settings:
        if row.numbers is not None:
            how = ([mode_text(row)] if has_cache(row) else []) + (
                [f"{row.path} path"] if row.path != "deployed" else []
            )
            settings.setdefault((", ".join(how), key_code(row)), []).append(names.code(row.setting))
    parts = [
        f"{', '.join(rows)}{f' ({how})' if how else ''}: {key}"
        for (how, key), rows in settings.items()
    ]
    if not parts:
        return ""
    more = ""
    if any(row.setting_fingerprint and row.numbers is not None for row in report.settings):
        more = (
            " Behind a `+` stands the content of the weights that a setting names: rows of other "
            "weights may be ranked, but are not of the same setting."
        )
    return f"{RULE} Key of {'; of '.join(parts)}.{more}"
