"""A run that stops once it is settled, in words. Pure standard library."""

from __future__ import annotations

from scorer.report.formats.inline import ABSENT, count, interval, percent, plural, table
from scorer.report.formats.short_names import ShortNames
from scorer.report.setting_row import Intervals, SettingNumbers, SettingRow
from scorer.report.stopping_part import StoppedSetting, StoppingPart
from scorer.report.tree import Report
from scorer.spec.thresholds import METRICS, Metric, metrics_words

_NAMES = {False: "95 % interval", True: "simultaneous interval"}


def interval_name(ends: Intervals) -> str:
    """What the intervals of a setting are: ``95 % interval`` or ``simultaneous interval``."""
    return _NAMES[ends.simultaneous]


def intervals_name(report: Report) -> str:
    """The same of a report."""
    return _NAMES[report.stopping is not None]


def standing_of(row: SettingRow, report: Report) -> StoppedSetting | None:
    """What the last look of a stopped run says of a row; None where there is none."""
    return None if report.stopping is None else report.stopping.of(row.setting)


def verdict_words(row: SettingRow, numbers: SettingNumbers, report: Report) -> str:
    """The verdict: ``good?``; of a run that stops ``settled good`` or ``settled worse, bad``."""
    found = standing_of(row, report)
    if found is None:
        return numbers.verdict_shown
    if found.standing == "settled good":
        return found.standing
    return f"{found.standing}, {numbers.verdict_shown}"


def stopping_lines(report: Report, names: ShortNames) -> list[str]:
    """How many chunks a run needed, and the intervals of its last look; nothing of other runs."""
    part = report.stopping
    if part is None:
        return []
    return [f"**{_needed(part)}** {_meaning(part)}", "", *_table(part, names)]


def _needed(part: StoppingPart) -> str:
    looks, of = len(part.looks), plural(part.most_chunks, "chunk")
    at = f"look {part.look} of {looks}"
    if part.stopped and part.look == looks:
        # A run can have all its chunks before it looks for the first time.
        return f"Settled at the last look: all {of} are scored ({at})."
    if part.stopped:
        return f"Stopped once settled: {count(part.n_chunks)} of {of} were needed ({at})."
    if part.look == looks:
        return f"Not settled: all {of} are scored ({at})."
    if part.look:
        return f"Not settled yet: {at}, at {count(part.n_chunks)} of {of}."
    return f"Not settled yet: the first of {looks} looks is at {count(part.looks[0])} of {of}."


def _meaning(part: StoppingPart) -> str:
    words = (
        "The intervals are those of a stopped run: simultaneous, 95 % sure for all settings, "
        f"criteria and looks together. Chunks in the order `{part.order}`"
    )
    if part.look:
        words += f"; independent are {plural(part.n_units, part.unit)}"
        words += f", which speak for {part.label}" if part.label else ""
    return f"{words}."


def _table(part: StoppingPart, names: ShortNames) -> list[str]:
    if not part.settings:
        return []
    rows = [
        [
            names.code(found.setting),
            f"**{found.standing}**",
            *(_ends(found, metric) for metric in METRICS),
            metrics_words(found.open) or ABSENT,
        ]
        for found in part.settings
    ]
    head = ["setting", "against good", "KL mean (nats)", "p99 (nats)", "flips (%)", "open on"]
    return [*table(head, rows, left=(0, 1, 5)), ""]


def _ends(found: StoppedSetting, metric: Metric) -> str:
    return interval(found.interval(metric), scale=100 if metric == "flip_rate" else 1)


def how_lines(report: Report) -> str:
    """How the intervals are made."""
    part = report.stopping
    if part is None:
        return (
            "- Intervals: 95 %, over chunks (over documents from 5 on): Student's t for means, "
            "Wilson's for flips, a bootstrap for p99; never over positions: those of a chunk are "
            "correlated; llama.cpp's ± are standard errors that take them as independent and come "
            "out smaller"
        )
    return (
        f"- Intervals: simultaneous, each at {percent(part.confidence, significant=6)} so that all "
        f"settings, criteria and {plural(len(part.looks), 'look')} hold together at "
        f"{percent(part.joint_confidence)} (Bonferroni); clustered by {part.unit}, Student's t: "
        "the KL mean on its logarithm, flips by Wilson's interval, p99 by inverting that of the "
        "share of positions above it; none of perplexity. Pairs are tested at a look's share of "
        "the 5 %. Looks after "
        f"{', '.join(map(str, part.looks))} chunks"
    )
