"""The rules that verdicts and recommendations follow, and what changed them between versions.

A report made anew of an older run can say another verdict than it did. It says which rule changed.
Pure standard library.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

from scorer.report.reworded import reworded
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report
from scorer.spec.thresholds import METRICS, Metric
from scorer.stats.verdict import P99_POSITIONS, MissingInterval, OpenBound, shown_verdict

RULES = 2
"""Number of the rules of this version; reports that do not name theirs follow 1."""

Rule = Literal[
    "no interval", "flips", "p99", "pairs", "own chunks", "comparable", "settled", "noise", "equal"
]

RULES_2: dict[Rule, str] = {
    "no interval": (
        "a verdict is open where a metric has no usable interval: one chunk, no width, or fewer "
        f"than {P99_POSITIONS} positions for p99"
    ),
    "flips": "flips have Wilson's interval on the effective number of positions",
    "p99": "the interval of p99 resamples documents where at least 5 are covered, else chunks",
    "pairs": "pairs are told apart by Holm's method over all pairs of a report",
    "own chunks": (
        "the figures of a setting rest on all its own chunks, what is said of several settings on "
        "the chunks they have in common"
    ),
    "comparable": "only settings of one start and path are ranked and paired",
    "settled": "the recommended setting is the cheapest one that is settled as good",
    "noise": (
        "a noise floor needs at least 4 repeats, and what lies below the upper end of its "
        "interval is open or not ranked"
    ),
    "equal": "equal chunks count once",
}
"""What changed with rules 2, as the changelog says it."""


def changes_of(before: Report, after: Report) -> list[str]:
    """What an older report of the same run said otherwise, and the rules that changed it.

    Args:
        before: The report that the run has stored.
        after: The report that this version makes of it.

    Returns:
        Sentences without their full stop; none where both follow the same rules, or say the same.
    """
    if before.rules >= after.rules:
        return []
    earlier = {row.setting: row for row in before.settings}
    found: list[str] = []
    for row in after.settings:
        old = earlier.get(row.setting)
        if old is not None and _rest_on_the_same(old, row):
            found += _verdict_changes(old, row)
    return [*found, *_recommendation_changes(before, after), *_pair_changes(before, after)]


def _rest_on_the_same(old: SettingRow, row: SettingRow) -> bool:
    """Whether nothing was scored since: an older report can be about fewer chunks than it had."""
    return old.n_chunks == row.n_chunks or math.isclose(old.seconds, row.seconds)


def _verdict_changes(old: SettingRow, row: SettingRow) -> Iterator[str]:
    if old.numbers is None or row.numbers is None:
        return
    before, now = old.numbers.verdict_shown, row.numbers.verdict_shown
    if before != now:
        why = "; ".join(RULES_2[rule] for rule in _rules_behind(old, row)) or "other intervals"
        yield f"`{row.setting}` was reported as {before} and is {now} by the present rules: {why}"


def _rules_behind(old: SettingRow, row: SettingRow) -> Iterator[Rule]:
    """The rules that give a row another verdict than it had."""
    assert old.numbers is not None and row.numbers is not None
    if old.n_chunks < row.n_chunks:
        yield "own chunks"
    elif old.n_chunks > row.n_chunks:
        yield "equal"
    before, now = old.numbers, row.numbers
    if now.verdict_without_interval:
        yield "no interval"
    if any(bound.below_noise_floor for bound in now.verdict_open):
        yield "noise"
    changed = _open_metrics(before) ^ _open_metrics(now)
    if "flip_rate" in changed:
        yield "flips"
    if "kl_p99" in changed:
        yield "p99"


def _open_metrics(numbers: SettingNumbers) -> set[Metric]:
    bounds: tuple[OpenBound, ...] = numbers.verdict_open
    return {bound.metric for bound in bounds if not bound.below_noise_floor}


def _recommendation_changes(before: Report, after: Report) -> Iterator[str]:
    old, new = before.recommendation, after.recommendation
    if old is None or new is None or old.setting == new.setting:
        return
    apart = {name for left in new.left_out for name in left.settings}
    rule: Rule = "comparable" if old.setting in apart else "settled"
    yield (
        f"`{old.setting}` was recommended and `{new.setting}` is by the present rules: "
        f"{RULES_2[rule]}"
    )


def _pair_changes(before: Report, after: Report) -> Iterator[str]:
    apart = {(pair.a, pair.b) for pair in before.comparisons if pair.told_apart}
    still = {(pair.a, pair.b) for pair in after.comparisons if pair.told_apart}
    both = {(pair.a, pair.b) for pair in after.comparisons}
    if lost := (apart & both) - still:
        pairs = "1 pair was" if len(lost) == 1 else f"{len(lost)} pairs were"
        yield f"{pairs} told apart and no longer: {RULES_2['pairs']}"


def with_changes(report: Report, before: Report | None) -> Report:
    """The report with what an older one said otherwise on top of its warnings."""
    return with_warning(report, *([] if before is None else changes_of(before, report)))


def with_warning(report: Report, *sentences: str) -> Report:
    """The report with more warnings about the whole run, before the others."""
    if not sentences:
        return report
    return replace(
        report,
        settings=tuple(
            replace(row, warnings=(*sentences, *row.warnings)) for row in report.settings
        ),
        run=replace(report.run, warnings=(*sentences, *report.run.warnings)),
    )


def by_present_rules(report: Report) -> Report:
    """An older report whose verdicts without a usable interval are open.

    For lists, which read stored reports alone: all else takes the positions. Whatever its rules,
    its warnings are those of this version.
    """
    warnings = [reworded(row.warnings) for row in report.settings]
    if warnings != [row.warnings for row in report.settings]:
        rows = zip(report.settings, warnings, strict=True)
        report = replace(report, settings=tuple(replace(row, warnings=own) for row, own in rows))
    if report.rules >= RULES:
        return report
    return replace(report, settings=tuple(map(_opened, report.settings)))


def _opened(row: SettingRow) -> SettingRow:
    numbers = row.numbers
    if numbers is None or not (lacking := tuple(_missing(row, numbers))):
        return row
    shown = shown_verdict(numbers.verdict, True)
    return replace(
        row,
        numbers=replace(numbers, verdict_without_interval=lacking, verdict_shown=shown),
    )


def _missing(row: SettingRow, numbers: SettingNumbers) -> Iterator[MissingInterval]:
    values = {
        "kl_mean": numbers.kl.mean,
        "kl_p99": numbers.kl.p99,
        "flip_rate": numbers.flip_rate,
    }
    for metric in METRICS:
        ends = getattr(numbers.intervals, metric)
        if row.n_chunks < 2:
            yield MissingInterval(metric, "one chunk")
        elif not math.isfinite(values[metric]):
            continue
        elif metric == "kl_p99" and numbers.n_positions < P99_POSITIONS:
            yield MissingInterval(metric, "few positions")
        elif ends is None or not ends.low < ends.high:
            yield MissingInterval(metric, "no width")
