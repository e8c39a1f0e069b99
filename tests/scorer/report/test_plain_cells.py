"""Numbers in the cells of every Markdown output are ASCII, without thousands set apart."""

from __future__ import annotations

import math

import pytest
from markdown_cells import cells, unlike_plain
from report_builders import again, built, make_facts, random_positions, scored

from scorer.report.formats.inline import plain_numbers, table
from scorer.report.formats.markdown import to_markdown
from scorer.report.formats.model_card import to_model_card
from scorer.report.tree import Report


@pytest.mark.parametrize(
    ("cell", "plain"),
    [
        ("12\u202f240 (53 %)", "12240 (53 %)"),
        ("1\u202f234\u202f567.5", "1234567.5"),
        ("\u22120.07", "-0.07"),
        ("\u2212.5 … \u22120.25", "-.5 … -0.25"),
        ("1.08 (0.80\u20131.46)", "1.08 (0.80-1.46)"),
        ("0\u20136", "0-6"),
        ("\u221e", "inf"),
        ("\u2212\u221e … +\u221e", "-inf … +inf"),
        ("+1.32e+03", "+1.32e+03"),
        # What is no number, and what is foreign, stays.
        ("—", "—"),
        ("layers – all", "layers – all"),
        ("`1\u202f000 \u22121 ∞`", "`1\u202f000 \u22121 ∞`"),
        ("`` a ` 1\u20132 `` 1\u20132", "`` a ` 1\u20132 `` 1-2"),
    ],
)
def test_a_cell_has_plain_numbers(cell: str, plain: str) -> None:
    assert plain_numbers(cell) == plain
    assert table(["head"], [[cell]])[-1].strip("| ") == plain


def test_the_check_finds_what_is_not_plain() -> None:
    for cell in ("1\u202f000", "1 000", "1,000", "\u22121", "1\u20132", "∞", "٣", "−.5"):
        assert unlike_plain(f"| head |\n|---|\n| {cell} |\n") == [cell]
    for cell in ("1000", "-1", "1-2", "0.1 … 0.2", "16 bit", "—", "`1 000`", "2026-11-27 12:00"):
        assert unlike_plain(f"| head |\n|---|\n| {cell} |\n") == []


def reports() -> dict[str, Report]:
    """Reports with large counts, negative changes, infinities and intervals of each form."""
    many = random_positions(n_chunks=90, seed=2)
    better = random_positions(n_chunks=90, scale=0.3, flip_rate=0.2, seed=3)
    better.nll_quant[:] = better.nll_ref * 0.9
    infinite = random_positions(n_chunks=90, scale=0.3, seed=4)
    infinite.kl[7] = math.inf
    facts = make_facts("8,4,2", n_chunks=90, documents={i: i // 6 for i in range(90)})
    several = [scored("8", many), scored("4", better), scored("2", infinite)]
    most = random_positions(n_chunks=600, scale=0.3, flip_rate=0.2, seed=5)
    alone = make_facts("4", n_chunks=600)
    return {
        "several": again(built(facts, several)),
        "one": again(built(alone, [scored("4", most, control=most)])),
        "infinite": again(built(make_facts("2", n_chunks=90), [scored("2", infinite)])),
    }


REPORTS = reports()


@pytest.mark.parametrize("form", [to_markdown, to_model_card], ids=["report", "card"])
@pytest.mark.parametrize("name", list(REPORTS))
def test_reports_and_cards_have_plain_numbers(name: str, form: object) -> None:
    assert callable(form)
    markdown = form(REPORTS[name])
    assert len(cells(markdown)) > 10
    assert unlike_plain(markdown) == []


def test_the_reports_hold_what_could_be_typeset() -> None:
    """Or the test above could not fail."""
    several, one, infinite = (to_markdown(REPORTS[name]) for name in ("several", "one", "infinite"))
    shown = cells(several)
    assert any(cell.startswith("12240 ") for cell in shown)
    assert any(cell.startswith("-") and cell != "-" for cell in shown)
    assert any("inf" in cell for cell in cells(infinite))
    assert "1200" in cells(one)  # positions of a span of depth
