"""Gives the settings of a report their letters, from its comparisons. Pure standard library."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from scorer.report.groups_part import GroupsPart, LetterGroup, WithoutLetter
from scorer.report.setting_row import SettingRow
from scorer.report.tree import PairComparison, Report
from scorer.stats.intervals import CONFIDENCE
from scorer.stats.letters import letter, letter_groups


def with_groups(report: Report) -> Report:
    """The report with its groups, and the letters of each row.

    Args:
        report: A report with its comparisons.
    """
    groups = groups_of(report.settings, report.comparisons)
    rows = tuple(
        replace(row, letters="" if groups is None else groups.of(row.setting))
        for row in report.settings
    )
    return replace(report, settings=rows, groups=groups)


def groups_of(
    rows: Sequence[SettingRow], comparisons: Iterable[PairComparison]
) -> GroupsPart | None:
    """The groups of settings that are not told apart; None for fewer than two scored settings.

    Args:
        rows: The rows of a report.
        comparisons: Its comparisons. Settings that may not be ranked together have none.
    """
    scored = [row for row in rows if row.numbers is not None]
    if len(scored) < 2:
        return None
    names = {row.setting for row in scored}
    pairs = [pair for pair in comparisons if pair.a in names and pair.b in names]
    tested = [pair for pair in pairs if pair.told_apart is not None]
    compared = {name for pair in tested for name in (pair.a, pair.b)}
    ranked = [row.setting for row in sorted(scored, key=_drift) if row.setting in compared]
    alike = [(pair.a, pair.b) for pair in tested if not pair.told_apart]
    return GroupsPart(
        letters=tuple(
            LetterGroup(letter=letter(i), settings=settings)
            for i, settings in enumerate(letter_groups(ranked, alike))
        ),
        without_letter=tuple(_without(rows, pairs, compared)),
        n_pairs=len(tested),
        n_alike=len(alike),
        level=round(1 - CONFIDENCE, 12),
    )


def _drift(row: SettingRow) -> float:
    assert row.numbers is not None
    mean = row.numbers.kl.mean
    return math.inf if math.isnan(mean) else mean


def _without(
    rows: Sequence[SettingRow], pairs: Sequence[PairComparison], compared: set[str]
) -> Iterator[WithoutLetter]:
    """The settings without a letter, by the reason."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if row.setting not in compared:
            found.setdefault(_why(row, pairs), []).append(row.setting)
    for why, settings in found.items():
        yield WithoutLetter(settings=tuple(settings), why=why)


def _why(row: SettingRow, pairs: Sequence[PairComparison]) -> str:
    if row.numbers is None:
        return "failed" if row.status == "failed" else "not scored yet"
    own = [pair for pair in pairs if row.setting in (pair.a, pair.b)]
    if not own:
        return "no other setting scores the same positions on the same path"
    chunks = max(pair.n_chunks for pair in own)
    if chunks == 0:
        return "it has no chunk in common with another setting"
    if chunks == 1:
        return "one common chunk gives no interval of a difference"
    if all(pair.kl_mean_difference is None for pair in own):
        return "a KL is infinite, so that there is no difference of means"
    return "the differences are equal on all chunks, which says nothing about others"
