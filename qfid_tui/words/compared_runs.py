"""Formats runs side by side as lines of toned text. Imports no Textual."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Mapping
from typing import Literal

from qfid_tui.pictures.bars import horizontal_bar
from qfid_tui.pictures.scale import Axis, decade_text, log_axis
from qfid_tui.state.compared_runs import ComparedGroup, ComparedRow, ComparedRun, ComparedRuns
from qfid_tui.state.setting_names import short_name
from qfid_tui.words.model_list import shortened
from qfid_tui.words.run_rows import cut
from scorer.common.inert_text import inert
from scorer.report.formats.inline import (
    ABSENT,
    columns,
    digits,
    interval,
    percent,
    plural,
)

Tone = Literal["plain", "strong", "muted", "good", "marginal", "bad"]
TonedLine = tuple[tuple[str, Tone], ...]
"""Parts of a line, each with its tone."""

_WIDE = 110
_LONGEST_SETTING, _LEAST_SETTING = 24, 9
_LONGEST_BAR, _LEAST_BAR = 36, 4


def compared_lines(compared: ComparedRuns, width: int) -> list[TonedLine]:
    """Return the lines of the screen: the runs by number, then their settings in groups.

    Args:
        compared: The runs.
        width: Columns of the screen.
    """
    lines: list[TonedLine] = []
    for i, run in enumerate(compared.runs, 1):
        lines += _run_lines(i, run, width)
    names = [short_name(row.name) for group in compared.groups for row in group.rows]
    shape = _shape(width, max(map(columns, names), default=0))
    for i, group in enumerate(compared.groups):
        lines += [(), *_group_lines(group, i, shape, width)]
    if any(rank for group in compared.groups for rank in group.ranks):
        lines += [(), *wrapped(_RANK, width, "muted")]
    stopped = {row.run + 1 for group in compared.groups for row in group.rows if row.simultaneous}
    if stopped and width >= _WIDE:
        words = _STOPPED[len(stopped) > 1].format(", ".join(map(str, sorted(stopped))))
        lines += wrapped(words, width, "muted")
    lines += _bounds_lines(compared, width)
    if len(compared.groups) > 1:
        lines += wrapped(_UNLIKE, width, "muted")
    return lines


def _bounds_lines(compared: ComparedRuns, width: int) -> Iterator[TonedLine]:
    """Whose verdicts are by other bounds, where there are both kinds."""
    rows = [row for group in compared.groups for row in group.rows]
    of_weights = sorted({row.run + 1 for row in rows if row.by_weights})
    if of_weights and not all(row.by_weights for row in rows):
        named = ", ".join(map(str, of_weights))
        yield from wrapped(_WEIGHTS.format(named), width, "muted")


_RANK = "Rank 1: no other row of the group is told apart as better; each that is adds 1."
_STOPPED = tuple(
    f"{which} once settled: {whose} intervals are wider and hold together over settings, criteria "
    "and looks, and pairs are tested at a look's share of the 5 %."
    for which, whose in (("Run {} stops", "its"), ("Runs {} stop", "their"))
)
_WEIGHTS = (
    "Run {} has weights: its verdicts are by the bounds of weights, the others by those of the KV "
    "cache."
)
_UNLIKE = (
    "Unlike groups share no rank and no scale: beside the setting something else differs, so that "
    "a difference between them says nothing about the settings."
)


def _run_lines(number: int, run: ComparedRun, width: int) -> Iterator[TonedLine]:
    head = f"run {number}  "
    room = max(8, width - len(head))
    if not run.model:
        yield (head, "strong"), (cut(run.id, room), "plain")
    else:
        model = shortened(run.model[-300:], max(8, room - columns(run.text) - 3))
        yield (head, "strong"), (cut(f"{model} · {run.text}", room), "plain")
    if run.fault:
        yield from wrapped(f"✗ {inert(run.fault)}", width, "bad", len(head))


def _group_lines(
    group: ComparedGroup, index: int, shape: Mapping[str, int], width: int
) -> Iterator[TonedLine]:
    # One bar would have nothing to be compared with.
    several = len(group.rows) > 1
    axis = log_axis([row.figures.kl_mean for row in group.rows], 2) if several else None
    yield from wrapped(_heading(group, index, axis), width, "strong", 0)
    if group.differs:
        yield from wrapped(f"unlike {_letter(0)}: {', '.join(group.differs)}", width, "marginal")
    heads = "".join(padded(name, wide) for name, wide in shape.items())
    yield ((heads.rstrip(), "muted"),)
    for row, rank in zip(group.rows, group.ranks, strict=True):
        yield _row(row, rank, shape, axis)


def _letter(index: int) -> str:
    """``A``, ``B`` … ``Z``, ``A2``."""
    again = index // 26
    return chr(ord("A") + index % 26) + (str(again + 1) if again else "")


def _heading(group: ComparedGroup, index: int, axis: Axis | None) -> str:
    numbers = sorted({row.run + 1 for row in group.rows})
    named = ("run " if len(numbers) == 1 else "runs ") + ", ".join(map(str, numbers))
    said = [f"{_letter(index)}  {named}"]
    if axis is not None:
        chunks = plural(group.common, "common chunk")
        said.append(f"ranked on {chunks}" if any(group.ranks) else f"not ranked: {chunks}")
        low, high = (decade_text(round(math.log10(end))) for end in (axis.low, axis.high))
        said.append(f"log bars {low} to {high} nats")
    return " · ".join(said)


def _shape(width: int, longest: int) -> dict[str, int]:
    """The columns and their widths, with the blanks behind them; bars take what is left.

    Args:
        width: Columns of the screen.
        longest: Columns of the longest setting.
    """
    is_wide = width >= _WIDE
    shape = {
        **{"rank": 4, "run": 3},
        "setting": min(max(longest, len("setting")), _LONGEST_SETTING),
        **{"cache": 5, "KL mean": 8},
        **({"95 % interval": 21} if is_wide else {}),
        **{"": _LEAST_BAR, "flips": 7, "verdict": 9, "chunks": 6},
    }
    shape = {name: columns + (2 if is_wide else 1) for name, columns in shape.items()}
    left = width - sum(shape.values())
    if left < 0:
        shape["setting"] = max(_LEAST_SETTING, shape["setting"] + left)
    shape[""] += min(max(left, 0), _LONGEST_BAR)
    return shape


def _row(
    row: ComparedRow, rank: int | None, shape: Mapping[str, int], axis: Axis | None
) -> TonedLine:
    figures = row.figures
    texts = {
        "rank": ABSENT if rank is None else str(rank),
        "run": str(row.run + 1),
        "setting": short_name(row.name),
        "cache": percent(row.cache, significant=2),
        "KL mean": digits(figures.kl_mean, significant=3),
        "95 % interval": interval(figures.kl_interval, significant=3),
        "": "" if axis is None else horizontal_bar(figures.kl_mean, axis, shape[""] - 1),
        "flips": percent(figures.flip_rate, significant=2),
        "verdict": figures.shown_verdict,
        "chunks": str(figures.chunks),
    }
    tones: dict[str, Tone] = {"verdict": figures.verdict, "": "muted"}
    parts: list[tuple[str, Tone]] = [
        (padded(cut(texts[name], wide - 1), wide), tones.get(name, "plain"))
        for name, wide in shape.items()
    ]
    return (*parts[:-1], (parts[-1][0].rstrip(), parts[-1][1]))


def padded(text: str, width: int) -> str:
    """A text with blanks behind it, so that it takes some columns."""
    return text + " " * max(0, width - columns(text))


def wrapped(text: str, width: int, tone: Tone, indent: int = 3) -> Iterator[TonedLine]:
    """A sentence in lines, all indented."""
    for line in textwrap.wrap(text, max(20, width - indent)):
        yield ((" " * indent + line, tone),)
