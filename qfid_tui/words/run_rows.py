"""Formats saved runs as rows of a list, and filters them. Imports no Textual."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from qfid_tui.state.text_names import CORPORA, text_name
from qfid_tui.words.model_list import shortened
from scorer.common.inert_text import inert
from scorer.report.formats.inline import columns
from scorer.runs.run_info import RunInfo

STATES = {
    "finished": "✓ finished",
    "unfinished": "… unfinished",
    "running": "▸ running",
    "broken": "✗ unusable",
}
_DATED = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)\d\d")
_STATE, _CHUNKS = 12, 8
_LEAST = 8
# From this width on, the year and the name of the text fit.
_WIDE = 110


def when(info: RunInfo) -> str:
    """Return the local start time of a run; for an unusable run, the time in its id."""
    try:
        return f"{datetime.fromisoformat(info.created).astimezone():%Y-%m-%d %H:%M}"
    except (ValueError, OverflowError, OSError):
        dated = _DATED.match(info.id)
        return "{}-{}-{} {}:{}".format(*dated.groups()) if dated else ""


def chunks(info: RunInfo) -> str:
    """Return scored and planned chunks, counted over all settings."""
    if info.state == "broken":
        return ""
    planned = "?" if info.chunks_planned is None else str(info.chunks_planned)
    return f"{info.chunks_done}/{planned}"


def read_only_note(info: RunInfo) -> str:
    """Why a run can be looked at and not gone on with; "" where it can."""
    return f"read-only, its positions file: {info.read_only}" if info.read_only else ""


def resumable(info: RunInfo) -> bool:
    """Return whether chunks, or settings that failed, are left to score and can be added."""
    if info.read_only:
        return False
    return info.state == "unfinished" or (info.state == "finished" and bool(info.failed))


def deletable(info: RunInfo) -> bool:
    """Return whether the run can be deleted: it is readable and no process writes to it."""
    return info.state in ("finished", "unfinished")


def matches(info: RunInfo, words: str) -> bool:
    """Return whether the description of a run in the list contains all words."""
    about = (
        info.id,
        STATES[info.state],
        when(info),
        info.model,
        info.corpus,
        text_name(info.corpus),
    )
    text = " ".join((*about, info.reason, *info.settings, *info.failed)).casefold()
    return all(word in text for word in words.casefold().split())


def heads(runs: Sequence[RunInfo], width: int, *, models: bool) -> list[tuple[str, int]]:
    """Return the columns that fit, with their widths.

    Args:
        runs: The runs of the list.
        width: Columns of the terminal, including one blank at each side of a column.
        models: Whether the runs have different models.
    """
    wide = width >= _WIDE
    fixed = [("when", 16 if wide else 11), ("state", _STATE), ("scored", _CHUNKS)]
    wanted = ["settings", *(["model"] if models else []), *(["text"] if wide or not models else [])]
    free = width - sum(wide for _, wide in fixed) - 2 * (len(fixed) + len(wanted))
    longest = max((len(", ".join(run.settings)) for run in runs), default=0)
    settings = max(_LEAST, min(longest, free * 3 // 10 if models else free * 2 // 3))
    text = max(_LEAST, (free - settings) // 3 if models else free - settings)
    model = max(_LEAST, free - settings - (text if "text" in wanted else 0))
    widths = {"settings": settings, "model": model, "text": text}
    return [*fixed, *((name, widths[name]) for name in wanted)]


def cells(info: RunInfo, shape: Sequence[tuple[str, int]]) -> list[str]:
    """Return the cells of a run, cut to their columns; for an unusable run, the reason."""
    found = {
        "when": when(info),
        "state": STATES[info.state],
        "scored": chunks(info),
        "settings": ", ".join(info.settings),
        "model": info.model,
        "text": text_name(info.corpus),
    }
    if info.state == "broken":
        found["model" if "model" in dict(shape) else "text"] = info.reason
    row = []
    for name, width in shape:
        if name == "when":
            row.append(found[name][-width:])
        elif name in ("model", "text"):
            row.append(_named(found[name], width))
        else:
            row.append(cut(found[name], width))
    return row


def all_about(info: RunInfo) -> list[tuple[str, str]]:
    """Return names and values of all facts about a run."""
    if info.state == "broken":
        return [
            ("why", info.reason),
            ("folder", str(info.path)),
            ("to do", "qfid cannot read it and does not change it: examine or remove the folder"),
            ("run", info.id),
        ]
    state = f"{STATES[info.state]} · {chunks(info)} chunks over all settings"
    if info.failed:
        state += f" · failed: {', '.join(info.failed)}"
    note = read_only_note(info)
    return [
        *([("note", note)] if note else []),
        ("model", info.model),
        ("settings", ", ".join(info.settings)),
        ("text", CORPORA.get(info.corpus, info.corpus)),
        ("state", state),
        ("started", when(info)),
        ("run", info.id),
    ]


def _named(text: str, width: int) -> str:
    """Cut a sentence at its end, or shorten a name, whose end is kept."""
    return cut(text, width) if " " in text else shortened(text[-300:], width)


def cut(text: str, width: int) -> str:
    """Return the start of a text in ``width`` columns, control characters escaped."""
    shown = inert(text[: 4 * width])
    if columns(shown) <= width and len(text) <= 4 * width:
        return shown
    kept = ""
    for character in shown:
        if columns(kept + character) > width - 1:
            break
        kept += character
    return kept + "…"
