"""Weights beside the KV cache: the grid and the ladder. Standard library but for Markdown."""

from __future__ import annotations

from bisect import bisect_right

from scorer.report.formats.cost_points import Point
from scorer.report.formats.html_elements import Child, Element, element
from scorer.report.formats.html_markdown import blocks, scrolled
from scorer.report.formats.html_parts import (
    badge,
    figure,
    name_of,
    named,
    section,
    status_badge,
)
from scorer.report.formats.html_scatter import scatter
from scorer.report.formats.html_style import LEVELS
from scorer.report.formats.inline import ABSENT, digits, percent, with_margin
from scorer.report.formats.markdown_groups import has_letters
from scorer.report.formats.markdown_weights import ladder_lines, ladder_rows, reference_lines
from scorer.report.formats.short_names import ShortNames
from scorer.report.formats.stopping_words import intervals_name
from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report


def level_of(kl: float) -> int:
    """Which colour a KL has, 0 for the least."""
    return bisect_right(LEVELS, kl)


def weights_grid(report: Report, names: ShortNames) -> Element | None:
    """The section of the grid; None where there is one column or row only."""
    grid = report.grid
    if grid is None or len(grid.caches) < 2 or len(grid.weights) < 2:
        return None
    rows = {row.setting: row for row in report.settings}
    head = [
        element("th", "weights ↓   KV cache →"),
        *(element("th", *_across(key, names)) for key in grid.caches),
    ]
    body = []
    for key, cells in zip(grid.weights, grid.cells, strict=False):
        down = [named(key, names)] if key else _reference(report)
        found = [element("th", *down)]
        for column, name in enumerate(cells):
            first = not key and not column
            found.append(_cell(None if name is None else rows.get(name), is_reference=first))
        body.append(element("tr", *found))
    table = element(
        "table", element("thead", element("tr", *head)), element("tbody", *body), class_="first"
    )
    return section(
        "Weights and KV cache together",
        scrolled(table),
        element(
            "p",
            f"A cell: KL mean in nats with its {intervals_name(report)}, flips, verdict"
            f"{', group' if has_letters(report) else ''}. The darker or the stronger the colour, "
            f"the more drift. {ABSENT}: not scored.",
            class_="note",
        ),
    )


def _across(key: str, names: ShortNames) -> list[Child]:
    return ["KV ", named(key, names)] if key else ["KV 16 bit"]


def _reference(report: Report) -> list[Child]:
    return [element("code", name_of(report.reference.model_id, ShortNames())), ", the reference"]


def _cell(row: SettingRow | None, *, is_reference: bool) -> Element:
    if is_reference:
        return element("td", "compared with", class_="cell")
    if row is None:
        return element("td", ABSENT, class_="cell")
    numbers = row.numbers
    if numbers is None:
        return element("td", status_badge(row.status), class_="cell")
    return element(
        "td",
        element("strong", with_margin(numbers.kl.mean, numbers.intervals.kl_mean)),
        element("br"),
        f"{percent(numbers.flip_rate, significant=3)} flips",
        element("br"),
        badge(numbers),
        f" {row.letters}" if row.letters else None,
        class_=f"cell k{level_of(numbers.kl.mean)}",
    )


def ladder(report: Report, names: ShortNames) -> Element | None:
    """The section of the precisions of weights; None where no weights are compared."""
    ladder = ladder_rows(report)
    if not ladder:
        return None
    points = [
        Point(
            name=name_of(each.key, names, 22),
            x=each.own.bits_per_weight,
            kl=each.row.numbers.kl.mean,
            ends=each.row.numbers.intervals.kl_mean,
            verdict=each.row.numbers.verdict,
            said=f"{name_of(each.key, names)}: {digits(each.own.bits_per_weight)} bits per weight, "
            f"KL mean {digits(each.row.numbers.kl.mean)} nats",
        )
        for each in ladder
        if each.own is not None and each.row is not None and each.row.numbers is not None
    ]
    shown: list[Child] = []
    if points:
        title = "Bits per weight against drift"
        svg, unnamed = scatter(title, "bits per weight, once loaded", points)
        note = "KV cache at full precision. KL mean with its "
        note += f"{intervals_name(report)}, lower is better."
        if unnamed:
            note += " Points without room for a name: see the table."
        shown.append(element("div", figure(title, svg, note=note), class_="charts"))
    return section(
        "The ladder of weights",
        *blocks(reference_lines(report)),
        *shown,
        *blocks(ladder_lines(report, names)),
    )
