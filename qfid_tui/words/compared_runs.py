"""Formats runs side by side as lines of toned text. Imports no Textual."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import Literal

from qfid_tui.pictures.bars import horizontal_bar
from qfid_tui.pictures.scale import Axis, log_axis
from qfid_tui.state.compared_runs import ComparedGroup, ComparedRow, ComparedRun, ComparedRuns
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
_MARGIN = 2
_WIDTHS = {"rank": 4, "run": 3, "setting": 16, "cache": 5, "KL mean": 8, "flips": 6}
_LATER = {"verdict": 9, "chunks": 6}
_INTERVAL, _BAR = 21, 40
_LEAST_BAR = 4


def compared_lines(compared: ComparedRuns, width: int) -> list[TonedLine]:
    """Return the lines of the screen: the runs by number, then their settings in groups.

    Args:
        compared: The runs.
        width: Columns of the screen.
    """
    lines: list[TonedLine] = []
    for i, run in enumerate(compared.runs, 1):
        lines += _run_lines(i, run, width)
    for i, group in enumerate(compared.groups):
        lines += [(), *_group_lines(group, i, compared.runs, width)]
    if len(compared.groups) > 1:
        lines += [(), *_wrapped(_UNLIKE, width, "muted")]
    return lines


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
        yield from _wrapped(f"✗ {inert(run.fault)}", width, "bad", len(head))


def _group_lines(
    group: ComparedGroup, index: int, runs: Sequence[ComparedRun], width: int
) -> Iterator[TonedLine]:
    axis = log_axis([row.figures.kl_mean for row in group.rows], 2)
    yield ((_heading(group, index, axis), "strong"),)
    if group.differs:
        yield from _wrapped(f"unlike {_letter(0)}: {', '.join(group.differs)}", width, "marginal")
    shape = _shape(width)
    heads = "".join(_padded(name, wide + _MARGIN) for name, wide in shape.items())
    yield ((heads.rstrip(), "muted"),)
    for row, rank in zip(group.rows, group.ranks, strict=True):
        yield _row(row, rank, shape, axis)


def _letter(index: int) -> str:
    """``A``, ``B`` … ``Z``, ``A2``."""
    again = index // 26
    return chr(ord("A") + index % 26) + (str(again + 1) if again else "")


def _heading(group: ComparedGroup, index: int, axis: Axis) -> str:
    numbers = sorted({row.run + 1 for row in group.rows})
    named = ("run " if len(numbers) == 1 else "runs ") + ", ".join(map(str, numbers))
    said = [f"{_letter(index)}  {named}"]
    if len(group.rows) > 1:
        chunks = plural(group.common, "common chunk")
        said.append(f"ranked on {chunks}" if any(group.ranks) else f"not ranked: {chunks}")
    ticks = [text for _, text in (axis.ticks[0], axis.ticks[-1])]
    said.append(f"bars from {ticks[0]} to {ticks[1]} nats, logarithmic")
    return " · ".join(said)


def _shape(width: int) -> dict[str, int]:
    """The columns and their widths; bars take what is left."""
    wide = {"95 % interval": _INTERVAL} if width >= _WIDE else {}
    taken = {**_WIDTHS, **wide, **_LATER}
    left = width - sum(taken.values()) - _MARGIN * (len(taken) + 1)
    setting = min(24, _WIDTHS["setting"] + max(0, left - _BAR))
    if left < _LEAST_BAR:
        setting = max(8, setting + left - _LEAST_BAR)
    bar = min(_BAR, max(_LEAST_BAR, width - sum(taken.values()) - _MARGIN * (len(taken) + 1)))
    shape = {**_WIDTHS, "setting": setting}
    before = {name: shape[name] for name in ("rank", "run", "setting", "cache", "KL mean")}
    return {**before, **wide, "": bar, "flips": shape["flips"], **_LATER}


def _row(row: ComparedRow, rank: int | None, shape: dict[str, int], axis: Axis) -> TonedLine:
    figures = row.figures
    texts = {
        "rank": ABSENT if rank is None else str(rank),
        "run": str(row.run + 1),
        "setting": row.name,
        "cache": percent(row.cache, significant=2),
        "KL mean": digits(figures.kl_mean, significant=3),
        "95 % interval": interval(figures.kl_interval, significant=3),
        "": horizontal_bar(figures.kl_mean, axis, shape[""]),
        "flips": percent(figures.flip_rate, significant=3),
        "verdict": figures.shown_verdict,
        "chunks": str(figures.chunks),
    }
    tones: dict[str, Tone] = {"verdict": figures.verdict, "": "muted"}
    parts: list[tuple[str, Tone]] = [
        (_padded(cut(texts[name], wide), wide + _MARGIN), tones.get(name, "plain"))
        for name, wide in shape.items()
    ]
    return (*parts[:-1], (parts[-1][0].rstrip(), parts[-1][1]))


def _padded(text: str, width: int) -> str:
    return text + " " * max(0, width - columns(text))


def _wrapped(text: str, width: int, tone: Tone, indent: int = 3) -> Iterator[TonedLine]:
    """A sentence in lines, all indented."""
    for line in textwrap.wrap(text, max(20, width - indent)):
        yield ((" " * indent + line, tone),)
