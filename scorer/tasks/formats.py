"""The report of tasks as Markdown, JSON and CSV, and its items as CSV. Pure standard library."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence

from scorer.common.inert_text import inert
from scorer.report.formats.inline import ABSENT, code, plural, prose, table, text
from scorer.stats.intervals import Interval
from scorer.tasks.items import TaskItems
from scorer.tasks.report import AnswersPart, ChoicePart, Share, TaskPart, TasksReport

NOT_APART = "not told apart"
_CHOSEN_BY = {
    "acc": "the likeliest answer",
    "acc_norm": "the likeliest answer per character",
    "acc_bytes": "the likeliest answer per byte",
}
_HEAD = (
    "setting",
    "against reference",
    "accuracy %",
    "95 % interval",
    "difference, points",
    "95 % interval",
    "flips %",
    "95 % interval",
    "right → wrong",
    "wrong → right",
    "wrong → wrong",
)
_CSV = (
    *("task", "metric", "setting", "items", "chance", "right", "accuracy"),
    *("accuracy_low", "accuracy_high", "reference_accuracy", "difference", "difference_low"),
    *("difference_high", "simultaneous_low", "simultaneous_high", "told_apart", "mcnemar_p"),
    *("flips", "flip_share", "flip_share_low"),
    *("flip_share_high", "right_to_wrong", "wrong_to_right", "wrong_to_wrong", "model_id"),
    "results",
)
# A spreadsheet runs a cell that begins with one of these, some also in their wide forms.
_FORMULA = ("=", "+", "-", "@", "＝", "＋", "－", "＠")


def to_markdown(report: TasksReport) -> str:
    """The report as Markdown, newline at the end."""
    lines = [f"# Downstream tasks: {text(report.model_id)}", "", headline(report), ""]
    lines += [*facts_lines(report), ""]
    for task in report.tasks:
        lines += [f"## {text(task.task)}", "", *task_body(task)]
    return "\n".join([*lines, *note_lines(report), ""])


def headline(report: TasksReport) -> str:
    """What was asked, in a sentence."""
    limit = "" if report.limit is None else f", the first {report.limit} items of each"
    items = sum(task.items for task in report.tasks)
    return (
        f"{plural(items, 'item')} of {plural(len(report.tasks), 'task')}{limit}; "
        f"{plural(report.requests, 'request')}; lm-evaluation-harness {report.harness_version}."
    )


def facts_lines(report: TasksReport) -> list[str]:
    """What computed, as Markdown."""
    return [f"Computed on: {text(report.arithmetic)}."]


def note_lines(report: TasksReport) -> list[str]:
    """What failed, what a reader must know, and what the numbers mean, as Markdown."""
    lines = []
    for setting in report.failed:
        hint = f" ({prose(setting.hint)})" if setting.hint else ""
        lines += [f"- Setting {code(setting.setting)} failed: {prose(setting.error or '')}{hint}"]
    for setting in report.settings:
        if setting.same_as is not None:
            lines += [f"- {code(setting.setting)} is computed as {code(setting.same_as)}."]
    lines += [f"- {prose(warning)}" for warning in report.warnings]
    return [
        *lines,
        *([""] if lines else []),
        "Difference: accuracy less that of the reference, on the same items. Flips: items whose "
        "answer changed, whatever was right. Items are taken as independent: Wilson's intervals, "
        "for the difference Newcombe's for pairs. The intervals of the differences of a table hold "
        f"at once with 95 % (Bonferroni); “{NOT_APART}” where that of a setting holds 0.",
        "",
        f"Results: {code(report.results)}",
    ]


def task_body(task: TaskPart) -> list[str]:
    """A task without its heading, as Markdown."""
    chance = "" if task.chance is None else f", guessing gives {100 * task.chance:.1f} %"
    lines = [f"{plural(task.items, 'item')}{chance}.", ""]
    for part in task.choices:
        said = _CHOSEN_BY.get(part.metric, "")
        if task.chance is None:
            said = "whether the right text is the likeliest"
        lines += [f"### {text(part.metric)}{': ' if said else ''}{said}", ""]
        lines += [*table(_HEAD, _rows(part), left=(0, 1)), ""]
    if not task.choices:
        names = list(dict.fromkeys(name for row in task.metrics.values() for name in row))
        rows = [
            [code(setting), *(f"{row[name]:.6g}" if name in row else ABSENT for name in names)]
            for setting, row in task.metrics.items()
        ]
        lines += [*table(["setting", *names], rows), ""]
    return lines


def _rows(part: ChoicePart) -> list[list[str]]:
    own = part.reference
    reference = ["reference", ABSENT, _percent(own), _ends(own.interval), *[ABSENT] * 7]
    return [reference, *map(_row, part.settings)]


def _row(row: AnswersPart) -> list[str]:
    verdict = NOT_APART
    if row.told_apart:
        verdict = "worse" if row.difference < 0 else "better"
    return [
        code(row.setting),
        verdict,
        _percent(row.accuracy),
        _ends(row.accuracy.interval),
        f"{100 * row.difference:+.1f}",
        _ends(row.simultaneous_interval, sign="+"),
        _percent(row.flips),
        _ends(row.flips.interval),
        str(row.to_wrong.count),
        str(row.to_right.count),
        str(row.wrong_to_wrong.count),
    ]


def _percent(share: Share) -> str:
    return f"{100 * share.share:.1f}"


def _ends(interval: Interval, sign: str = "") -> str:
    return f"{100 * interval.low:{sign}.1f} to {100 * interval.high:{sign}.1f}"


def to_json(report: TasksReport) -> str:
    """The report as JSON text: indented, ASCII, newline at the end."""
    return json.dumps(report.to_json(), indent=2) + "\n"


def to_csv(report: TasksReport) -> str:
    """The report as CSV: a row for the reference and every setting, by task and metric."""
    rows: list[list[object]] = []
    for task in report.tasks:
        for part in task.choices:
            head = [task.task, part.metric]
            about = [task.items, task.chance]
            own = part.reference
            share = [own.count, own.share, own.interval.low, own.interval.high, own.share]
            tail = [report.model_id, report.results]
            rows.append([*head, "reference", *about, *share, *[None] * 14, *tail])
            rows += [_csv_row(head, about, own, row) + tail for row in part.settings]
    return _csv_text(_CSV, rows)


def _csv_row(
    head: Sequence[object], about: Sequence[object], reference: Share, row: AnswersPart
) -> list[object]:
    accuracy, flips = row.accuracy, row.flips
    return [
        *head,
        row.setting,
        *about,
        *(accuracy.count, accuracy.share, accuracy.interval.low, accuracy.interval.high),
        reference.share,
        *(row.difference, row.difference_interval.low, row.difference_interval.high),
        *(row.simultaneous_interval.low, row.simultaneous_interval.high),
        *(row.told_apart, row.p_value),
        *(flips.count, flips.share, flips.interval.low, flips.interval.high),
        *(row.to_wrong.count, row.to_right.count, row.wrong_to_wrong.count),
    ]


def items_csv(answers: Mapping[str, Sequence[TaskItems]]) -> str:
    """Every answer as CSV: a row by task, way to choose, item and setting.

    Args:
        answers: By setting, the reference's first, the items of each task.
    """
    rows: list[list[object]] = []
    for setting, tasks in answers.items():
        for task in tasks:
            for way in task.answers:
                rows += [
                    [task.task, way.metric, item, setting, chosen, right]
                    for item, chosen, right in zip(task.ids, way.chosen, way.right, strict=True)
                ]
    return _csv_text(("task", "metric", "item", "setting", "answer", "right"), rows)


def _csv_text(head: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([_cell(value) for value in row] for row in rows)
    return file.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str):
        return value
    shown = inert(value)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
