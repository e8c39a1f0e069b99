"""Formats saved results of tasks as lines of toned text. Imports no Textual."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from qfid_tui.state.setting_names import short_name
from qfid_tui.words.compared_runs import Tone, TonedLine
from qfid_tui.words.run_rows import cut
from scorer.common.inert_text import inert
from scorer.report.formats.inline import columns, plural
from scorer.tasks.formats import NOT_APART
from scorer.tasks.report import AnswersPart, ChoicePart, TaskPart, TasksReport

_LONGEST_SETTING = 18
_HEAD = f"{'acc %':>6} {'points':>6} {'95 % interval':>15} {'flips %':>7} {'lost':>4} {'won':>4}  "
_NOTE = (
    "Points: accuracy less that of the reference. Flips: answers that are not the reference's. "
    "Lost: right there, wrong here; won: the other way round. Items are taken as independent; the "
    "intervals of a table hold at once."
)
_NONE = (
    "No results of tasks are saved. The command line scores them: `qfid tasks demo --kv-bits 8,4`, "
    "or `qfid tasks MODEL --tasks DIR` with tasks of your own."
)
_ASK = "`qfid tasks MODEL --tasks DIR` on the command line scores more."


def task_lines(reports: Sequence[tuple[Path, TasksReport]], width: int) -> list[TonedLine]:
    """Return the lines of the screen: every report, newest first.

    Args:
        reports: Folder and report of each.
        width: Columns of the screen.
    """
    if not reports:
        return _wrapped(_NONE, width)
    lines: list[TonedLine] = []
    for path, report in reports:
        for task in report.tasks:
            lines += [*_task_lines(report, task, width), ()]
        for setting in report.failed:
            text = f"{setting.setting} failed: {setting.error}"
            lines.append(((cut(inert(text), width), "bad"),))
        lines += [((cut(inert(f"saved in {path}"), width), "muted"),), ()]
    return [*lines, *_wrapped(_NOTE, width), *_wrapped(_ASK, width)]


def _task_lines(report: TasksReport, task: TaskPart, width: int) -> list[TonedLine]:
    chance = "" if task.chance is None else f" · guessing {100 * task.chance:.0f} %"
    limit = "" if report.limit is None else " · the first ones"
    head = f"{report.model_id} · {task.task} · {plural(task.items, 'item')}{limit}{chance}"
    lines: list[TonedLine] = [((cut(inert(head), width), "strong"),)]
    for part in task.choices:
        lines += _choice_lines(part, width)
    if not task.choices:
        for setting, metrics in task.metrics.items():
            named = " · ".join(f"{name} {value:.5g}" for name, value in metrics.items())
            lines.append(((cut(inert(f"{short_name(setting)}  {named}"), width), "plain"),))
    return lines


def _choice_lines(part: ChoicePart, width: int) -> list[TonedLine]:
    names = [cut(inert(short_name(row.setting)), _LONGEST_SETTING) for row in part.settings]
    room = max(len("reference"), columns(part.metric), *map(columns, names), 0)
    reference = f"{'reference':{room}} {100 * part.reference.share:6.1f}"
    lines: list[TonedLine] = [
        ((cut(f"{inert(part.metric):{room}} {_HEAD}".rstrip(), width), "muted"),),
        ((cut(reference, width), "plain"),),
    ]
    for name, row in zip(names, part.settings, strict=True):
        pad = " " * (room - columns(name))
        lines.append(((cut(f"{name}{pad} {_numbers(row)}", width), "plain"), _verdict(row)))
    return lines


def _numbers(row: AnswersPart) -> str:
    low, high = row.simultaneous_interval.low, row.simultaneous_interval.high
    interval = f"{100 * low:+.1f} to {100 * high:+.1f}"
    return (
        f"{100 * row.accuracy.share:6.1f} {100 * row.difference:+6.1f} {interval:>15} "
        f"{100 * row.flips.share:7.1f} {row.to_wrong.count:4} {row.to_right.count:4}  "
    )


def _verdict(row: AnswersPart) -> tuple[str, Tone]:
    if not row.told_apart:
        return NOT_APART, "muted"
    return ("worse", "bad") if row.difference < 0 else ("better", "good")


def _wrapped(text: str, width: int) -> list[TonedLine]:
    return [((line, "muted"),) for line in textwrap.wrap(text, max(20, width))]
