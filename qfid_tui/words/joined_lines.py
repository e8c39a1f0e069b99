"""Several texts and lengths side by side as lines of toned text. Imports no Textual."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Literal

from qfid_tui.state.setting_names import short_name
from qfid_tui.state.text_names import text_name
from qfid_tui.words.run_rows import cut
from scorer.common.inert_text import inert
from scorer.report.formats.inline import ABSENT, columns, digits, percent, with_margin
from scorer.report.formats.joined_markdown import (
    differences,
    interval_words,
    unscored_words,
)
from scorer.report.joined import JoinedReport, JoinedRow, JoinedSetting

Tone = Literal["plain", "strong", "muted", "good", "marginal", "bad"]
TonedLine = tuple[tuple[str, Tone], ...]
"""Parts of a line, each with its tone."""

_SIGNS = {"good": "✓", "marginal": "~", "bad": "✗"}
_LONGEST_SETTING = 24
_LONGEST_BAR, _LEAST_BAR = 32, 4


def joined_lines(report: JoinedReport, width: int) -> list[TonedLine]:
    """Return the lines of the screen: verdicts by text, then a block for each text.

    Args:
        report: The joined report.
        width: Columns of the screen.
    """
    lines: list[TonedLine] = []
    for words in unscored_words(report):
        lines += _wrapped(f"! {words.replace('`', '')}", width, "marginal")
    for setting in report.settings:
        lines += _verdicts(setting, width)
    lines += _wrapped(_RULE, width, "muted")
    for text in report.texts:
        lines += [(), *_block(report, text, width)]
    lines.append(())
    if any(row.simultaneous for row in report.rows):
        lines += _wrapped(f"±: {interval_words(report).replace('`', '')}", width, "muted")
    lines += _wrapped(_UNLIKE, width, "muted")
    for words in differences(report):
        lines += _wrapped(words.replace("`", ""), width, "muted")
    runs = " ".join(run.run for run in report.runs)
    return [*lines, (), *_wrapped(f"qfid report {runs}", width, "muted")]


_RULE = (
    "A text has the worst verdict of its lengths, overall is the worst of the texts. Macro KL is "
    "the plain mean of the rows below: it judges nothing."
)
_UNLIKE = (
    "Texts and lengths share no rank: they are set side by side only, and the bars of each text "
    "have a scale of their own. The command below prints this, also as --format html, json or csv:"
)


def _verdicts(setting: JoinedSetting, width: int) -> Iterator[TonedLine]:
    name = cut(short_name(setting.setting), _LONGEST_SETTING)
    mean = digits(setting.macro_kl_mean, significant=3)
    yield (
        (f"{name}  ", "strong"),
        ("overall ", "plain"),
        _verdict(setting.verdict, setting.verdict_shown),
        (f"  macro KL {mean} nats", "muted"),
    )
    parts = [
        f"{text_name(each.text)} {each.verdict_shown or 'not scored'}" for each in setting.texts
    ]
    yield from _wrapped(" · ".join(parts), width, "plain", 4)


def _verdict(verdict: str | None, shown: str | None) -> tuple[str, Tone]:
    if verdict == "good":
        return f"{_SIGNS[verdict]} {shown}", "good"
    if verdict == "marginal":
        return f"{_SIGNS[verdict]} {shown}", "marginal"
    return (ABSENT, "muted") if verdict is None else (f"{_SIGNS[verdict]} {shown}", "bad")


def _block(report: JoinedReport, text: str, width: int) -> Iterator[TonedLine]:
    from qfid_tui.pictures.bars import horizontal_bar
    from qfid_tui.pictures.scale import log_axis

    rows = [row for row in report.rows if row.text == text]
    yield ((cut(text_name(text), width), "strong"),)
    names = {row.setting: cut(short_name(row.setting), _LONGEST_SETTING) for row in rows}
    name = max(7, *map(columns, names.values()))
    means = {id(row): _mean(row) for row in rows}
    mean = max(7, *map(columns, means.values()))
    room = width - name - mean - 35
    known = [row.kl_mean for row in rows if row.kl_mean is not None]
    axis = log_axis(known, 2) if len(known) > 1 and room >= _LEAST_BAR else None
    head = f"  {'setting':<{name}} {'chunk':>6}  {'KL mean':>{mean}} {'flips':>8}  verdict"
    if axis is not None:
        head = f"{head}      {cut('KL, log scale', room)}"
    yield ((head, "muted"),)
    order = list(names)
    for row in sorted(rows, key=lambda row: (order.index(row.setting), row.chunk_length)):
        shown = names[row.setting]
        bar = ""
        if axis is not None and row.kl_mean is not None:
            bar = "".join(horizontal_bar(row.kl_mean, axis, min(room, _LONGEST_BAR)))
        flips = percent(row.flip_rate, significant=3)
        verdict = _verdict(row.verdict, row.verdict_shown)
        yield (
            (f"  {shown}{' ' * (name - columns(shown))} {row.chunk_length:>6}  ", "plain"),
            (f"{means[id(row)]:>{mean}} {flips:>8}  ", "plain"),
            (f"{verdict[0]:<12} ", verdict[1]),
            (bar, "plain"),
        )


def _mean(row: JoinedRow) -> str:
    if row.kl_mean is None:
        return row.status
    return with_margin(row.kl_mean, row.kl_mean_interval)


def _wrapped(text: str, width: int, tone: Tone, indent: int = 0) -> Iterator[TonedLine]:
    pad = " " * indent
    for line in textwrap.wrap(inert(text), max(8, width - indent)):
        yield ((pad + line, tone),)
