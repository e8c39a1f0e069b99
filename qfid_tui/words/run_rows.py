"""Formats saved runs as rows of a list, and filters them. Imports no Textual."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from qfid_tui.state.run_list import RunList
from qfid_tui.state.run_results import RunOutcome, RunResult
from qfid_tui.state.setting_names import short_name
from qfid_tui.state.text_names import CORPORA, only_roles, text_with_roles
from qfid_tui.words.model_list import shortened
from scorer.common.inert_text import inert
from scorer.report.formats.inline import ABSENT, bytes_of, columns, digits, percent, plural
from scorer.runs.run_info import RunInfo

STATES = {
    "finished": "✓ finished",
    "unfinished": "… unfinished",
    "running": "▸ running",
    "broken": "✗ unusable",
}
_DATED = re.compile(r"(\d{4})(\d\d)(\d\d)-(\d\d)(\d\d)\d\d")
_STATE, _CHUNKS = 12, 9
_SETTING, _KL, _FLIPS, _VERDICT = 8, 8, 7, 9
_LEAST = 8
MARK = "●"
"""Stands before a run that is marked for a comparison."""
# As many as have room below the list at 80 columns.
_RESULTS = 6
GAP = 1
"""Blank columns behind each column."""
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
    if info.chunks_planned is None:
        return str(info.chunks_done)
    whole = info.chunks_done == info.chunks_planned
    return f"all {info.chunks_done}" if whole else f"{info.chunks_done} of {info.chunks_planned}"


def _state_and_chunks(info: RunInfo) -> str:
    """The sign of the state, and which share of the chunks is scored."""
    share = chunks(info)
    if info.chunks_planned and info.chunks_done < info.chunks_planned:
        share = f"{100 * info.chunks_done / info.chunks_planned:.0f} %"
    return f"{STATES[info.state][0]} {share}"


def read_only_note(info: RunInfo) -> str:
    """Why a run can be looked at and not gone on with; "" where it can."""
    return f"read-only, its positions file: {info.read_only}" if info.read_only else ""


def why_not(action: str, info: RunInfo | None) -> str:
    """Why an action of the history can do nothing now; "" where it can.

    Args:
        action: As the bindings of the history name it.
        info: The run under the cursor; None for none.
    """
    if action == "compare":
        return "Mark two runs or more: space marks the one under the cursor"
    if info is None:
        return "There is no run under the cursor"
    if action == "delete":
        return _why_not_deleted(info)
    if info.state == "broken":
        return f"qfid cannot read this run: {info.reason}"
    return _why_not_resumed(info) if action == "resume" else ""


def _why_not_resumed(info: RunInfo) -> str:
    if info.read_only:
        return f"This run can be looked at only: {read_only_note(info)}"
    if info.state == "running":
        return "This run is being scored"
    if info.state == "finished" and not info.failed:
        return "This run is finished: nothing is left to score"
    return ""


def _why_not_deleted(info: RunInfo) -> str:
    if info.state == "running":
        return "This run is being scored: stop it before it is deleted"
    if info.state == "broken":
        return "qfid cannot read this run and does not delete it: remove its folder yourself"
    return ""


def count_text(runs: RunList, shown: int) -> str:
    """How many runs a list has: read, in the folder, and shown.

    Args:
        runs: The list.
        shown: How many of them a filter leaves.
    """
    read, entries = runs.counts
    few = f", {shown} shown" if shown != len(runs.infos) else ""
    if runs.is_whole:
        return f" · {len(runs.infos)}{few}"
    return f" · {read} of {entries} read{few}"


class RunFilter:
    """Finds runs by the words of their descriptions, which it keeps."""

    def __init__(self) -> None:
        self._texts: dict[RunInfo, str] = {}

    def matching(self, infos: Iterable[RunInfo], words: str) -> list[RunInfo]:
        """Return the runs whose description in the list contains all words."""
        wanted = words.casefold().split()
        if not wanted:
            return [*infos]
        return [info for info in infos if all(word in self._text(info) for word in wanted)]

    def _text(self, info: RunInfo) -> str:
        text = self._texts.get(info)
        if text is None:
            text = self._texts[info] = _description(info)
        return text


def _description(info: RunInfo) -> str:
    about = (
        info.id,
        STATES[info.state],
        when(info),
        info.model,
        info.corpus,
        text_with_roles(info.corpus, info.roles),
    )
    return " ".join((*about, info.reason, *info.settings, *info.failed)).casefold()


@dataclass(frozen=True, slots=True)
class RunRow:
    """A run in the list.

    Attributes:
        info: The run.
        outcome: Its results; None while they have not been read.
        marked: Whether it is marked for a comparison.
    """

    info: RunInfo
    outcome: RunOutcome | None
    marked: bool


def heads(runs: Sequence[RunInfo], width: int, *, models: bool) -> list[tuple[str, int]]:
    """Return the columns that fit, with their widths.

    Args:
        runs: The runs of the list.
        width: Columns of the terminal, including :data:`GAP` behind each column.
        models: Whether the runs have different models.
    """
    wide = width >= _WIDE
    fixed = [
        ("", 2),
        ("when", 16 if wide else 11),
        *([("state", _STATE)] if wide else []),
        ("scored", 12 if wide else _CHUNKS),
        ("best", 14 if wide else _SETTING),
        ("KL, nats", _KL),
        ("flips", _FLIPS),
        ("verdict", _VERDICT),
    ]
    wanted = [
        *(["model"] if models else []),
        *(["text"] if wide or not models else []),
        *(["others"] if wide else []),
    ]
    free = width - sum(columns for _, columns in fixed) - GAP * (len(fixed) + len(wanted))
    shares = {"model": 4, "text": 3, "others": 4}
    longest = {
        "model": max((columns(name) for name in {run.model for run in runs}), default=0),
        "text": max(
            (columns(text_with_roles(*text)) for text in {(run.corpus, run.roles) for run in runs}),
            default=0,
        ),
        "others": free,
    }
    widths = {}
    for i, name in enumerate(wanted):
        left = sum(shares[other] for other in wanted[i:])
        room = max(_LEAST, free * shares[name] // left)
        widths[name] = (
            max(_LEAST, free) if i == len(wanted) - 1 else min(room, max(_LEAST, longest[name]))
        )
        free = max(_LEAST, free - widths[name])
    return [*fixed, *((name, widths[name]) for name in wanted)]


def cells(row: RunRow, shape: Sequence[tuple[str, int]]) -> list[str]:
    """Return the cells of a run, cut to their columns; for an unusable run, the reason."""
    info = row.info
    found = {
        "": f" {MARK}" if row.marked else "",
        "when": when(info),
        "state": STATES[info.state],
        "scored": chunks(info) if "state" in dict(shape) else _state_and_chunks(info),
        "model": info.model,
        "text": text_with_roles(info.corpus, info.roles),
        **_results(row),
    }
    if info.state == "broken":
        found["model" if "model" in dict(shape) else "text"] = info.reason
    made = []
    for name, width in shape:
        if name == "when":
            made.append(found[name][-width:])
        elif name in ("model", "text"):
            made.append(_named(found[name], width))
        else:
            made.append(cut(found[name], width))
    return made


def _results(row: RunRow) -> dict[str, str]:
    """The cells about what was found; the settings where nothing was."""
    empty = dict.fromkeys(("best", "KL, nats", "flips", "verdict", "others"), "")
    if row.info.state == "broken":
        return empty
    if row.outcome is None:
        return {**empty, "best": "…"}
    best = row.outcome.best
    if best is None:
        return {**empty, "best": ABSENT, "others": ", ".join(map(short_name, row.info.settings))}
    found = {result.setting: result for result in row.outcome.results}
    others = (
        f"{short_name(name)} {_said(name, row.info, found)}"
        for name in row.info.settings
        if name != best.setting
    )
    return {
        "best": short_name(best.setting),
        "KL, nats": digits(best.kl_mean, significant=3),
        "flips": percent(best.flip_rate, significant=2),
        "verdict": best.verdict,
        "others": ", ".join(others),
    }


def _said(name: str, info: RunInfo, found: Mapping[str, RunResult]) -> str:
    """What a list says of a setting beside its name."""
    if name in found:
        return found[name].verdict
    return "failed" if name in info.failed else ABSENT


def result_text(result: RunResult) -> str:
    """A result in a line: ``8: KL 0.00035, flips 0.4 %, good?``, KL in nats."""
    kl, flips = digits(result.kl_mean, significant=3), percent(result.flip_rate, significant=3)
    return f"{short_name(result.setting)}: KL {kl}, flips {flips}, {result.verdict}"


def deletion_question(info: RunInfo, size: int, *, is_shown: bool) -> str:
    """What is asked before a run is deleted: which run, its size, and what is lost with it.

    Args:
        info: The run.
        size: Bytes of its files.
        is_shown: Whether it is the one on the workbench.
    """
    settings = ", ".join(map(short_name, info.settings))
    what = f"{info.model[:200]} with {settings[:200]}, begun {when(info)}"
    more = " It is the run on the workbench, which is emptied." if is_shown else ""
    return (
        f"Delete run {info.id}, {bytes_of(size)}? It is {what}. Its "
        f"{plural(info.chunks_done, 'scored chunk')} and what is reported of them are lost for "
        f"good.{more}"
    )


def all_about(row: RunRow) -> list[tuple[str, str]]:
    """Return names and values of all facts about a run."""
    info = row.info
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
        ("results", _all_results(row)),
        ("text", CORPORA.get(info.corpus, info.corpus) + only_roles(info.roles)),
        ("state", state),
        ("run", f"{info.id}, begun {when(info)}"),
    ]


def _all_results(row: RunRow) -> str:
    """KL, flips and verdict of every setting; a setting without a result stands alone."""
    if row.outcome is None:
        return "reading …"
    found = {result.setting: result for result in row.outcome.results}
    if not found:
        names = ", ".join(row.info.settings)
        running = row.info.state == "running"
        return f"{names}: {'known when it has ended' if running else 'no report is stored'}"
    said = [
        result_text(found[name])
        if name in found
        else f"{name}: {'failed' if name in row.info.failed else 'no result'}"
        for name in row.info.settings[:_RESULTS]
    ]
    more = len(row.info.settings) - len(said)
    return " · ".join([*said, *([f"and {more} more"] if more else [])])


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
