"""Drift by role as a table of the page. Pure standard library but for Markdown."""

from __future__ import annotations

from scorer.report.formats.html_elements import Child, Element, element
from scorer.report.formats.html_markdown import sentence
from scorer.report.formats.html_parts import name_of, plain_table, scored_rows, section
from scorer.report.formats.inline import ABSENT, count, digits, percent, with_margin
from scorer.report.formats.markdown_roles import role_notes, role_of, roles_of
from scorer.report.formats.short_names import ShortNames
from scorer.report.tree import Report


def roles(report: Report, names: ShortNames) -> Element | None:
    """The section of drift by role; None for a text without roles."""
    scored = [(row, numbers) for row, numbers in scored_rows(report) if numbers.by_role]
    if not scored:
        return None
    rows: list[list[Child]] = []
    for role in roles_of(scored):
        found = [role_of(numbers, role) for _, numbers in scored]
        first = next(each for each in found if each is not None)
        cells: list[Child] = [
            ABSENT
            if each is None
            else f"{with_margin(each.kl_mean, each.kl_mean_interval)} · {digits(each.kl_p99)} · "
            f"{percent(each.flip_rate, significant=3)}"
            for each in found
        ]
        called = role if first.counted else f"{role} (does not count)"
        rows.append([called, count(first.n_positions), *cells])
    head = ["role", "positions", *(name_of(row.setting, names) for row, _ in scored)]
    notes = role_notes([numbers for _, numbers in scored])
    return section(
        "Whose words drift?",
        plain_table(head, rows),
        element("p", "KL mean · p99 (nats) · flips. ", *sentence(notes), class_="note"),
    )
