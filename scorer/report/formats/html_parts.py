"""Small parts that several sections of the page share. Pure standard library but for Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from scorer.report.formats.html_elements import Child, Element, cut, element
from scorer.report.formats.html_markdown import scrolled
from scorer.report.formats.short_names import ShortNames
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report

Scored = tuple[SettingRow, SettingNumbers]
"""A setting and its numbers."""

_LONGEST_NAME = 60
_SIGNS = {"good": "✓", "marginal": "~", "bad": "✗"}
SHAPES = {"good": "circle", "marginal": "triangle", "bad": "square"}
"""Marks of the verdicts in charts."""
MARKS_WORDS = "●\u00a0good, ▲\u00a0marginal, ■\u00a0bad."
"""The same in words, for captions."""


def scored_rows(report: Report) -> list[Scored]:
    """The settings that have numbers, with them."""
    return [(row, row.numbers) for row in report.settings if row.numbers is not None]


def name_of(setting: str, names: ShortNames, most: int = _LONGEST_NAME) -> str:
    """How a setting is called, in so many characters at most."""
    return cut(names.of(setting), most)


def named(setting: str, names: ShortNames) -> Element:
    """The same as code; the whole of it where a pointer rests on it."""
    shown = name_of(setting, names)
    whole = cut(setting, 300)
    return element("code", shown, title=None if shown == whole else whole)


def badge(numbers: SettingNumbers) -> Element:
    """A verdict as sign, word and colour."""
    return shown_badge(numbers.verdict, numbers.verdict_shown)


def shown_badge(tier: str, shown: str) -> Element:
    """The same of a tier, and of the words for it."""
    return element("span", f"{_SIGNS.get(tier, '')} {shown}", class_=f"badge v-{tier}")


def status_badge(status: str) -> Element:
    """``failed`` or ``waiting``."""
    return element("span", status, class_="badge v-none")


def section(title: str, *children: Child | None) -> Element:
    """A section of the page."""
    return element("section", element("h2", title), *children)


def figure(title: str, *children: Child | None, note: str | Sequence[Child] = "") -> Element:
    """A chart with its title and what is to be known of it."""
    caption = [note] if isinstance(note, str) else note
    end = element("figcaption", *caption) if note else None
    return element("figure", element("h3", title), *children, end)


def plain_table(
    head: Sequence[Child],
    rows: Sequence[Sequence[Child]],
    *,
    left: Sequence[int] = (0,),
    first: bool = True,
) -> Element:
    """A table of cells; numbers end flush.

    Args:
        head: Names of the columns.
        rows: Cells.
        left: Columns of text.
        first: Whether the first column stays in view.
    """

    def cells(tag: str, row: Sequence[Child]) -> Element:
        each = (element(tag, cell, class_=None if i in left else "n") for i, cell in enumerate(row))
        return element("tr", *each)

    table = element(
        "table",
        element("thead", cells("th", head)),
        element("tbody", *(cells("td", row) for row in rows)),
        class_="first" if first else None,
    )
    return scrolled(table)


def folded(summary: str, *children: Child | None) -> Element:
    """What is shown on demand, without any script."""
    return element("details", element("summary", summary), *children)


def kl_on(
    row: SettingRow, numbers: SettingNumbers, report: Report, chunks: frozenset[int]
) -> float:
    """KL mean over some chunks of a setting, nats."""
    own = report.chunks_of(row)
    if chunks == frozenset(own):
        return numbers.kl.mean
    parts = zip(own, numbers.kl_mean_per_chunk, numbers.sizes(len(own)), strict=False)
    found = [(kl, size) for chunk, kl, size in parts if chunk in chunks]
    if len({size for _, size in found}) <= 1:
        return math.fsum(kl for kl, _ in found) / len(found) if found else math.nan
    return math.fsum(kl * size for kl, size in found) / sum(size for _, size in found)
