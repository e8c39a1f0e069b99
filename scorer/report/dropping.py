"""Which settings need no more chunks, because they cannot be the answer any more.

Asked at a few looks of a run that only wants one answer: what to run in a given memory. A function
of the report so far.
"""

from __future__ import annotations

from scorer.report.deployment import can_be_chosen
from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report
from scorer.stats.verdict import tier_rank


def droppable(report: Report) -> dict[str, str]:
    """The settings that need no more chunks, and why.

    A setting is beaten where another takes no more bytes, is in no lower tier and is told apart as
    the one that drifts less, by the paired and corrected test of the report. It is dearer where
    another is settled as good and takes less. It is settled where its verdict is settled, is not
    good, and another's is good. What is left when the cheapest is settled as good is settled too.

    A setting that no known runtime computes cannot be the answer: no other is dropped because of
    it, and it is dropped once the answer is settled.

    Args:
        report: The report of what is scored so far; with a deployment.

    Returns:
        Setting in notation to the reason in words; empty where nothing is known of memory.
    """
    deployment = report.deployment
    if deployment is None:
        return {}
    rows = {row.setting: row for row in report.settings if row.numbers is not None}
    less = _told_apart(report)
    fits = {cell.setting for cell in deployment.cells if cell.fits}
    total = {cell.setting: cell.least_bytes for cell in deployment.cells}
    able = {name for name, row in rows.items() if can_be_chosen(row)}
    good = [name for name in rows if name in able & fits and _is_settled(rows[name], "good")]
    best = min(good, key=lambda name: total[name], default=None)
    found: dict[str, str] = {}
    for name, row in rows.items():
        if row.dropped or name not in total:
            continue
        beaten = [
            other
            for other in rows
            if other in able
            and total.get(other, total[name] + 1) <= total[name]
            and (other, name) in less
            and _tier(rows[other]) >= _tier(row)
        ]
        if beaten:
            found[name] = f"beaten by `{min(beaten, key=lambda other: total[other])}`"
        elif best is not None and name not in able:
            found[name] = f"no known runtime computes it, and `{best}` is settled as good"
        elif best is not None and total[name] > total[best]:
            found[name] = f"takes more than `{best}`, which is settled as good"
        elif best is not None and _is_settled_below_good(row):
            found[name] = f"settled as {_verdict(row)}, and `{best}` is good"
    left = [name for name, row in rows.items() if name not in found and not row.dropped]
    if best is not None and left == [best]:
        found[best] = "settled as good, and the answer"
    return found


def _told_apart(report: Report) -> set[tuple[str, str]]:
    """Pairs of settings of which the first is told apart as the one that drifts less."""
    found = set()
    for pair in report.comparisons:
        if pair.told_apart and pair.kl_mean_difference:
            less = pair.kl_mean_difference < 0
            found.add((pair.a, pair.b) if less else (pair.b, pair.a))
    return found


def _is_settled(row: SettingRow, verdict: str) -> bool:
    numbers = row.numbers
    return numbers is not None and not numbers.is_open and numbers.verdict == verdict


def _is_settled_below_good(row: SettingRow) -> bool:
    numbers = row.numbers
    return numbers is not None and not numbers.is_open and numbers.verdict != "good"


def _verdict(row: SettingRow) -> str:
    return "" if row.numbers is None else row.numbers.verdict


def _tier(row: SettingRow) -> int:
    return -1 if row.numbers is None else tier_rank(row.numbers.verdict)
