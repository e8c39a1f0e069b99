"""Which settings cannot be told apart. Pure standard library but for Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scorer.report.formats.html_axes import (
    BOTTOM,
    RIGHT,
    TOP,
    WIDTH,
    chart,
    label,
    line,
    logarithmic,
    marker,
)
from scorer.report.formats.html_elements import Child, Element, element
from scorer.report.formats.html_parts import (
    MARKS_WORDS,
    SHAPES,
    Scored,
    figure,
    name_of,
    named,
    scored_rows,
    section,
)
from scorer.report.formats.inline import digits, plural
from scorer.report.formats.markdown_groups import has_letters
from scorer.report.formats.short_names import ShortNames
from scorer.report.formats.stopping_words import intervals_name
from scorer.report.groups_part import GroupsPart
from scorer.report.tree import Report

_MOST_ROWS = 40
_ROW = 24
_NAME = 22
_MOST_GROUPS = 26


def groups(report: Report, names: ShortNames) -> Element | None:
    """The section of what can be told apart; None where nothing was compared."""
    scored = scored_rows(report)
    pairs = report.comparisons
    if not pairs or len(scored) < 2:
        return None
    tested = [pair for pair in pairs if pair.told_apart is not None]
    alike = [pair for pair in tested if not pair.told_apart]
    said: list[Child] = []
    if not tested:
        said.append("No two settings have an interval of their difference: score more chunks.")
    elif not alike:
        which = "the two settings are" if len(pairs) == 1 else f"all {len(tested)} pairs are"
        said.append(f"On this text {which} told apart.")
    else:
        said.append(f"{len(alike)} of {plural(len(tested), 'pair')} cannot be told apart.")
    if len(tested) < len(pairs) and tested:
        said.append(f" {plural(len(pairs) - len(tested), 'pair')} without an interval.")
    how = (
        f"Differences of the KL mean, paired over the chunks that both have; "
        f"{plural(len(tested), 'pair')} tested as one family by Holm's method at 5 %."
    )
    label_words = next((pair.label for pair in pairs if pair.label), "")
    if label_words:
        how += f" They speak for {label_words}."
    return section(
        "Which settings can be told apart?",
        element("p", *said),
        *_letters(report.groups, names),
        element("div", _ranked(report, scored, names), class_="charts"),
        element("p", how, class_="note"),
    )


def _letters(groups: GroupsPart | None, names: ShortNames) -> list[Element]:
    """The settings by their letters, and those without one."""
    if groups is None:
        return []
    found: list[Element] = []
    if groups.letters:
        said: list[Child] = ["Settings that share a letter cannot be told apart: "]
        for i, group in enumerate(groups.letters[:_MOST_GROUPS]):
            said += [*(["; "] if i else []), element("strong", group.letter), " "]
            said += _listed(group.settings, names)
        more = len(groups.letters) - _MOST_GROUPS
        said.append(f"; and {more} more groups." if more > 0 else ".")
        found.append(element("p", *said))
    for without in groups.without_letter:
        which = _listed(without.settings, names)
        found.append(element("p", "Without a letter: ", *which, f": {without.why}."))
    return found


def _listed(settings: Sequence[str], names: ShortNames) -> list[Child]:
    found: list[Child] = []
    for i, setting in enumerate(settings):
        found += [*([", "] if i else []), named(setting, names)]
    return found


def _ranked(report: Report, scored: Sequence[Scored], names: ShortNames) -> Element:
    """The settings by KL mean, with intervals and letters."""
    ordered = sorted(scored, key=lambda each: _key(each[1].kl.mean))
    shown = ordered[:_MOST_ROWS]
    height = TOP + BOTTOM + _ROW * len(shown) + 4
    longest = max(len(name_of(row.setting, names, _NAME)) for row, _ in shown)
    left = max(60.0, 16 + 6.6 * longest)
    ends = [numbers.intervals.kl_mean for _, numbers in shown]
    means = [numbers.kl.mean for _, numbers in shown]
    bounds = report.verdict_bounds
    least = min((mean for mean in means if 0 < mean < math.inf), default=1e-3)
    values = [end for pair in ends if pair for end in (pair.low, pair.high) if end > 0]
    limits = [bounds.good.kl_mean, bounds.marginal.kl_mean]
    x = logarithmic(
        [*means, *(max(value, least / 3) for value in values), *limits], left, WIDTH - RIGHT - 60
    )
    marks = has_letters(report)
    drawn: list[Child] = []
    for bound, word in zip(limits, ("good", "marginal"), strict=True):
        at, left_of = x.at(bound), word == "good"
        drawn.append(line([(at, TOP - 14), (at, height - BOTTOM)], "bound"))
        place = at - 4 if left_of else at + 4
        text = f"{word} ≤ {digits(bound)}"
        drawn.append(label(place, TOP - 6, text, "end" if left_of else None))
    for i, (row, numbers) in enumerate(shown):
        y = TOP + _ROW * (i + 0.5) + 2
        kl, pair = numbers.kl.mean, numbers.intervals.kl_mean
        drawn.append(label(left - 8, y + 4, name_of(row.setting, names, _NAME), "end"))
        if pair is not None:
            drawn.append(line([(x.at(pair.low), y), (x.at(pair.high), y)], "err"))
        kind = f"m-{numbers.verdict}" if numbers.verdict in SHAPES else "d4"
        said = f"{name_of(row.setting, names)}: {digits(kl)} nats, {numbers.verdict_shown}"
        drawn.append(marker(SHAPES.get(numbers.verdict, "diamond"), x.at(kl), y, kind, said))
        drawn.append(label(WIDTH - RIGHT, y + 4, row.letters, "end"))
    title = "The settings by their drift"
    svg = chart(title, (x, "KL mean (nats)"), (x, ""), drawn, height=height, labels=())
    note = f"KL mean with its {intervals_name(report)}; {MARKS_WORDS} "
    note += "Verdicts rest on p99 and flips too."
    if marks:
        note += " On the right the letters."
    if len(shown) < len(scored):
        note += f" The {len(shown)} of the least drift of {len(scored)}."
    return figure(title, svg, note=note)


def _key(value: float) -> float:
    return math.inf if math.isnan(value) else value
