"""The report as one page: no script, nothing from elsewhere, for light and dark and for phones.

A function of the report and of the passages found in its run. The page is a tree of elements, so
that no name, token or setting can become markup; a Content-Security-Policy forbids besides that
anything is fetched or run. Standard library but for Markdown.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from scorer.report.formats.html_elements import Child, Element, cut, element, style, written
from scorer.report.formats.html_grid import ladder, weights_grid
from scorer.report.formats.html_groups import groups
from scorer.report.formats.html_lines import confidence, depth
from scorer.report.formats.html_markdown import blocks, inline, sentence
from scorer.report.formats.html_parts import (
    badge,
    folded,
    named,
    plain_table,
    scored_rows,
    section,
    status_badge,
)
from scorer.report.formats.html_passages import worst_passages_section
from scorer.report.formats.html_roles import roles
from scorer.report.formats.html_scatter import pareto
from scorer.report.formats.html_strips import strips
from scorer.report.formats.html_style import style_sheet
from scorer.report.formats.inline import ABSENT, count, digits, percent, with_margin
from scorer.report.formats.markdown import (
    bounds_used,
    how_made_lines,
    recommendation_lines,
    to_markdown,
)
from scorer.report.formats.markdown_deployment import total_cell
from scorer.report.formats.markdown_groups import has_letters
from scorer.report.formats.markdown_setting import measured_on, report_title
from scorer.report.formats.short_names import ShortNames, short_names
from scorer.report.formats.stopping_words import intervals_name, standing_of, stopping_lines
from scorer.report.passages import Passages
from scorer.report.setting_row import SettingRow
from scorer.report.tree import Report
from scorer.spec.amounts import tokens_word

MOST_BYTES = 2_000_000
"""A page is no larger: what has many of its parts is thinned out first."""
_MOST_WARNINGS = 20
_MOST_SENTENCES = 4
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


@dataclass(frozen=True, slots=True)
class _Detail:
    """How much of what can be thinned out is shown.

    Attributes:
        bars: Bars of a strip.
        passages: Passages of a setting.
        words: Whether the report in words is there too.
        settings: Settings with a row, a line and a strip of their own.
    """

    bars: int
    passages: int
    words: bool
    settings: int


_MANY = 120
_DETAILS = (
    _Detail(bars=600, passages=3, words=True, settings=_MANY),
    _Detail(bars=200, passages=1, words=True, settings=_MANY),
    _Detail(bars=100, passages=1, words=False, settings=2 * _MANY),
    _Detail(bars=40, passages=0, words=False, settings=100),
    _Detail(bars=0, passages=0, words=False, settings=20),
)
_FIRST_WITHOUT_WORDS = 2


def to_html(report: Report, passages: Passages | None = None) -> str:
    """The report as a page of at most 2 MB, deterministic byte for byte.

    Args:
        report: The report.
        passages: The worst passages of its run; None for none.
    """
    page = ""
    for i, detail in enumerate(_DETAILS):
        if i < _FIRST_WITHOUT_WORDS and len(report.settings) > _MANY:
            continue
        page = _page(report, passages or Passages(), detail)
        if len(page.encode("utf-8")) <= MOST_BYTES:
            break
    return page


def _page(report: Report, passages: Passages, detail: _Detail) -> str:
    names = short_names(report)
    title = element("h1", *inline(report_title(report)))
    shown, left_out = _only(report, detail.settings)
    main = [
        _answer(report, names),
        _comparison(shown, names),
        *_left_out(left_out, detail),
        pareto(shown, names),
        groups(shown, names),
        weights_grid(shown, names),
        ladder(shown, names) if detail.words else None,
        worst_passages_section(shown, passages, names, detail.passages),
        strips(shown, names, detail.bars),
        roles(shown, names),
        depth(shown, names),
        confidence(shown, names),
        section("How it was measured", *blocks(how_made_lines(report)[2:])),
    ]
    if detail.words:
        words = blocks(to_markdown(report).splitlines()[1:], deeper=1)
        main.append(section("All of it in words", folded("Every number of the report", *words)))
    body = element(
        "body",
        element("header", title, *_first_words(report)),
        element("main", *main),
        element(
            "footer",
            element("p", f"Made by qfid {report.run.versions.get('qfid', '')}.", class_="note"),
        ),
    )
    return written(element("html", page_head("".join(title.itertext())), body, lang="en"))


def page_head(title: str) -> Element:
    """The head of a page of ours, with its policy and style.

    Args:
        title: What the page is called.
    """
    return element(
        "head",
        _meta(charset="utf-8"),
        _meta(http_equiv="Content-Security-Policy", content=_POLICY),
        _meta(name="viewport", content="width=device-width, initial-scale=1"),
        _meta(name="color-scheme", content="light dark"),
        _meta(name="referrer", content="no-referrer"),
        element("title", cut(title, 200)),
        style(style_sheet()),
    )


def _meta(**attributes: str) -> Element:
    return element("meta", **attributes)


def _only(report: Report, most: int) -> tuple[Report, int]:
    """The report with its first settings only, and how many are left out."""
    rows = report.settings
    if len(rows) <= most:
        return report, 0
    return dataclasses.replace(report, settings=rows[:most]), len(rows) - most


def _left_out(settings: int, detail: _Detail) -> list[Child]:
    if detail == _DETAILS[0]:
        return []
    words = "The page is kept below 2 MB: chunks and passages are thinned out"
    words += "" if detail.words else ", and the report in words is left out"
    words += f", and {count(settings)} further settings" if settings else ""
    words += ". `qfid report` prints all as Markdown, and with `--format json` every number."
    return [element("p", *sentence(words), class_="note")]


def _first_words(report: Report) -> list[Child]:
    """What was measured on, and what to know before a number is quoted."""
    names = short_names(report)
    on: dict[str, list[str]] = {}
    for row, numbers in scored_rows(report):
        on.setdefault(measured_on(row, numbers, report.run), []).append(names.code(row.setting))
    found: list[Child] = []
    for said, which in list(on.items())[:_MOST_SENTENCES]:
        about = "" if len(on) == 1 else f"{', '.join(which)}: "
        found.append(element("p", *inline(about + said)))
    warnings = list(report.run.warnings)
    if len(report.settings) == 1:
        warnings = list(report.settings[0].warnings)
    found += [
        element("blockquote", element("p", element("strong", "Warning: "), *sentence(message)))
        for message in warnings[:_MOST_WARNINGS]
    ]
    if len(warnings) > _MOST_WARNINGS:
        found.append(element("p", f"and {len(warnings) - _MOST_WARNINGS} more warnings"))
    return found


def _answer(report: Report, names: ShortNames) -> Element:
    return element("div", *blocks(recommendation_lines(report, names)), class_="call")


def _comparison(report: Report, names: ShortNames) -> Element:
    place = report.deployment
    cost = "KV bytes/token"
    if place is not None:
        cost = f"total at {tokens_word(place.context)} (MB)"
    marks = has_letters(report)
    head: list[Child] = ["setting", "verdict", "KL mean (nats)", "KL p99 (nats)", "flips (%)"]
    head += ["perplexity Δ", cost, "frontier", *(["group"] if marks else [])]
    rows = [
        [*_cells(row, report, names), *([row.letters or ABSENT] if marks else [])]
        for row in report.settings
    ]
    said = f"± or (low–high): {intervals_name(report)}. "
    if marks:
        said += "Settings that share a letter in the last column cannot be told apart. "
    return section(
        "The settings side by side",
        *blocks(stopping_lines(report, names)),
        plain_table(head, rows, left=(0, 1, 7, 8)),
        element("p", said, *inline(bounds_used(report)), class_="note"),
        _failures(report, names),
    )


def _cells(row: SettingRow, report: Report, names: ShortNames) -> list[Child]:
    place, numbers = report.deployment, row.numbers
    if place is not None:
        cost = total_cell(row, place)
    else:
        share = percent(row.kv_bytes_share, significant=2)
        cost = f"{count(row.kv_bytes_per_token)} ({share})"
    name = named(row.setting, names)
    if numbers is None:
        return [name, status_badge(row.status), *[ABSENT] * 4, cost, ABSENT]
    ends = numbers.intervals
    verdict = element("span", badge(numbers))
    if row.kv_verdict_shown:
        verdict = element("span", badge(numbers), f" KV: {row.kv_verdict_shown}")
    if (found := standing_of(row, report)) is not None:
        verdict.append(element("span", f" {found.standing}"))
    return [
        name,
        verdict,
        with_margin(numbers.kl.mean, ends.kl_mean),
        digits(numbers.kl.p99),
        with_margin(numbers.flip_rate, ends.flip_rate, scale=100),
        digits(numbers.perplexity_delta, sign=True),
        cost,
        _frontier(row, names),
    ]


def _frontier(row: SettingRow, names: ShortNames) -> Element:
    found = element("span")
    if row.on_frontier:
        found = element("span", "✓")
    elif row.beaten_by is not None:
        found = element("span", "beaten by ", named(row.beaten_by, names))
    if row.same_as:
        found.append(element("span", ", same arithmetic as ", named(row.same_as, names)))
    return found if len(found) or found.text else element("span", ABSENT)


def _failures(report: Report, names: ShortNames) -> Element | None:
    """Why settings have no numbers."""
    found = [
        element("li", named(row.setting, names), ": ", *sentence(row.failure.message))
        for row in report.settings
        if row.failure is not None
    ]
    return element("ul", *found) if found else None
