"""The report as a page: whole, harmless, readable in both themes, and never too large."""

from __future__ import annotations

import dataclasses
import functools
import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from page_markup import checked
from report_builders import make_facts, random_positions, scored
from weights_reports import weights_report

from scorer.common.inert_text import inert
from scorer.report.build import build_report
from scorer.report.formats import html_markdown, html_style, inline
from scorer.report.formats.html import MOST_BYTES, to_html
from scorer.report.formats.html_axes import linear, logarithmic
from scorer.report.formats.html_elements import element, style, written
from scorer.report.formats.html_strips import bars_of
from scorer.report.groups_part import GroupsPart, LetterGroup, WithoutLetter
from scorer.report.passages import (
    AFTER,
    BEFORE,
    Passages,
    passage_at,
    settings_in_turn,
)
from scorer.report.tree import Report
from scorer.stats.intervals import Interval

SCALES = {"8": 0.0002, "6": 0.003, "4": 0.05, "2": 0.8}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title></code></pre><svg/onload=alert(1)>",
    "[a](javascript:alert(1)) ![b](https://example.com/b.png) <https://example.com>",
    "`` ` `` **bold** | cell | &lt;b&gt; &#60;i&#62; ]]> <!-- --> <?php ?>",
    "line\nbreak\r\x00\x1b[2J\u202e\ud800",
    "\\`<b>\\`</b>",
)
MARKS = ["<b>", "</p>", "&lt;", "&#60;", "`", "``", "*", "**", "_", "[a](b)", "![", "<!--", "|"]


@functools.cache
def report_of(names: str = "8,6,4,2", n_chunks: int = 12, n_depth: int = 40) -> Report:
    rows = [
        scored(name, random_positions(n_chunks=n_chunks, n_depth=n_depth, scale=SCALES[name]))
        for name in names.split(",")
    ]
    return build_report(make_facts(names, n_chunks=n_chunks, chunk_length=n_depth + 1), rows)


def passages_of(report: Report, texts: list[str] | None = None) -> Passages:
    found = {}
    for row in report.settings:
        positions = random_positions(n_chunks=1, n_depth=80, scale=0.5, seed=3)
        passage = passage_at(row.setting, positions, 40)
        if texts is not None:
            tokens = tuple(
                dataclasses.replace(token, text=texts[i % len(texts)])
                for i, token in enumerate(passage.tokens)
            )
            wanted = dataclasses.replace(passage.reference, text=texts[0])
            passage = dataclasses.replace(passage, tokens=tokens, reference=wanted)
        found[row.setting] = (passage,)
    return Passages(found=found)


def test_a_page_has_every_section() -> None:
    report = report_of()
    page = checked(to_html(report, passages_of(report, [" word"])))
    assert page.headings == [
        "The settings side by side",
        "What a setting costs and how far it drifts",
        "Which settings can be told apart?",
        "Where it drifts most",
        "Is the drift spread over the text, or in a few chunks?",
        "Does the drift grow with depth?",
        "Where the reference is sure, and where it is not",
        "How it was measured",
        "All of it in words",
    ]
    for words in ("KL mean (nats)", "KV cache (bytes per token)", "position in the chunk (tokens)"):
        assert words in page.text
    assert "Recommendation:" in page.text


def test_a_page_of_weights_has_grid_and_ladder() -> None:
    page = checked(to_html(weights_report()))
    assert "Weights and KV cache together" in page.headings
    assert "The ladder of weights" in page.headings
    assert "bits per weight, once loaded" in page.text
    assert {"k0", "k4", "k6"} <= set(page.classes)


def test_one_setting_and_none_that_is_scored_make_a_page() -> None:
    assert "Which settings can be told apart?" not in checked(to_html(report_of("4"))).headings
    facts = make_facts("8,4")
    nothing = build_report(facts, [scored("8", None), scored("4", None)])
    page = checked(to_html(nothing))
    assert "waiting" in page.text


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_text_makes_no_markup(text: str) -> None:
    report = report_of("8,4")
    report = dataclasses.replace(
        report,
        reference=dataclasses.replace(report.reference, model_id=text, architecture=text),
        settings=tuple(
            dataclasses.replace(row, model_id=text, warnings=(text,), beaten_by=text, same_as=text)
            for row in report.settings
        ),
        groups=GroupsPart(
            letters=(LetterGroup(letter=text, settings=(text, "4")),),
            without_letter=(WithoutLetter(settings=(text,), why=text),),
            n_pairs=1,
            n_alike=1,
            correction=text,
        ),
        run=dataclasses.replace(
            report.run,
            command=text,
            warnings=(text, f"a `{text}` b"),
            corpus=dataclasses.replace(report.run.corpus, name=text, tokenizer_id=text),
            versions={text: text},
        ),
    )
    plain = checked(to_html(report_of("8,4"))).elements
    page = checked(to_html(report, passages_of(report, [text])))
    # Whatever a browser could load or run is not among them.
    assert {*page.elements} - {*plain} <= {"blockquote", "br", "strong", "em"}
    assert "alert(1)" not in text or "alert(1)" in page.text


def test_a_hostile_token_is_shown_as_it_is() -> None:
    report = report_of("4")
    token = "<b onclick='x'>&amp;"
    page = checked(to_html(report, passages_of(report, [token])))
    assert page.text.count(token) >= BEFORE + AFTER


def test_the_text_goes_on_in_the_next_line_after_a_line_break() -> None:
    report = report_of("4")
    page = to_html(report, passages_of(report, ["a⏎⏎  b"]))
    assert ">a⏎<br>⏎<br>  b</span>" in page


def test_ids_stand_for_tokens_without_text() -> None:
    report = report_of("4")
    found = dataclasses.replace(passages_of(report), notice="tokens are shown as ids: it is gone.")
    page = checked(to_html(report, found))
    assert " 40" in page.text
    assert "In the text: #40" in page.text
    assert "tokens are shown as ids: it is gone." in page.text


def test_tokens_are_coloured_by_their_kl_and_flips_have_a_sign() -> None:
    report = report_of("4")
    positions = random_positions(n_chunks=1, n_depth=9)
    kl = np.array([0.0, 0.002, 0.005, 0.02, 0.05, 0.2, 0.5, 2.0, math.inf])
    flips = np.where(np.arange(9) == 3, 6, 5).astype(np.int32)
    positions = dataclasses.replace(positions, kl=kl, top_quant=flips)
    passage = passage_at("4", positions, 8)
    page = to_html(report, Passages(found={"4": (passage,)}))
    kinds = re.findall(r'<span class="(k\d[^"]*)" title="KL ([^ ]+) nats', page)
    assert [kind for kind, _ in kinds] == [
        *("k0", "k1", "k2", "k3 f", "k4", "k5", "k6", "k7", "k7 w"),
    ]
    assert kinds[-1][1] == "∞"


def test_a_very_long_run_stays_small_and_says_that_it_is_thinned_out() -> None:
    n_chunks = 15_000
    report = report_of("8,6,4,2")
    chunks = tuple(range(n_chunks))
    random = np.random.RandomState(0)
    rows = []
    for i in range(6):
        row = report.settings[i % 4]
        assert row.numbers is not None
        numbers = dataclasses.replace(
            row.numbers,
            chunks=chunks,
            kl_mean_per_chunk=tuple(random.lognormal(0, 0.4, n_chunks).tolist()),
            flips_per_chunk=(0,) * n_chunks,
        )
        rows.append(dataclasses.replace(row, numbers=numbers, n_chunks=n_chunks))
    report = dataclasses.replace(
        report, settings=tuple(rows), run=dataclasses.replace(report.run, chunks=chunks)
    )
    page = to_html(report, passages_of(report, ["<&>" * 20]))
    assert len(page.encode()) <= MOST_BYTES
    assert "Thinned out: of 15\u202f000 chunks a bar stands for up to 25" in checked(page).text


@pytest.mark.slow
def test_very_many_settings_stay_small() -> None:
    report = report_of("8,4")
    assert report.settings[0].numbers is not None
    rows = tuple(
        dataclasses.replace(report.settings[0], model_id="m" * 5000, warnings=("w" * 5000,))
        for _ in range(300)
    )
    page = to_html(dataclasses.replace(report, settings=rows, comparisons=()))
    assert len(page.encode()) <= MOST_BYTES
    assert "further settings" in checked(page).text


def test_a_page_is_the_same_each_time() -> None:
    report = report_of()
    assert to_html(report) == to_html(report)


def test_undefined_and_infinite_numbers_make_a_page() -> None:
    report = report_of("8,4")
    rows = []
    for row, kl in zip(report.settings, (math.inf, math.nan), strict=True):
        assert row.numbers is not None
        numbers = dataclasses.replace(
            row.numbers,
            kl=dataclasses.replace(row.numbers.kl, mean=kl, p99=kl),
            kl_mean_per_chunk=(math.inf, 0.0, -1e-9, 0.1),
            intervals=dataclasses.replace(
                row.numbers.intervals, kl_mean=Interval(0.0, math.inf), flip_rate=None
            ),
            kl_by_depth=(
                dataclasses.replace(row.numbers.kl_by_depth[0], kl_mean=None),
                dataclasses.replace(row.numbers.kl_by_depth[1], kl_mean=math.inf),
            ),
        )
        rows.append(dataclasses.replace(row, numbers=numbers))
    page = checked(to_html(dataclasses.replace(report, settings=tuple(rows))))
    assert "which are infinite or not above 0" in page.text


def test_settings_that_share_a_letter_are_those_not_told_apart() -> None:
    groups = GroupsPart(
        letters=(
            LetterGroup(letter="a", settings=("8", "6")),
            LetterGroup(letter="b", settings=("6", "4")),
        ),
        without_letter=(WithoutLetter(settings=("2",), why="of <one> chunk"),),
        n_pairs=3,
        n_alike=2,
    )
    report = report_of("8,6,4")
    rows = tuple(dataclasses.replace(r, letters=groups.of(r.setting)) for r in report.settings)
    assert [row.letters for row in rows] == ["a", "ab", "b"]
    page = checked(to_html(dataclasses.replace(report, settings=rows, groups=groups)))
    assert "Settings that share a letter cannot be told apart: a 8, 6; b 6, 4." in page.text
    assert "Without a letter: 2: of <one> chunk." in page.text


def test_bars_stand_for_as_many_chunks_each() -> None:
    bars = bars_of([1.0, 3.0, 2.0, math.inf, 5.0], 3)
    assert [(bar.mean, bar.most) for bar in bars] == [(2.0, 3.0), (math.inf, math.inf), (5.0, 5.0)]
    assert [bar.most for bar in bars_of([1.0, 2.0], 10)] == [1.0, 2.0]


def test_scales_hold_their_values_and_label_round_numbers() -> None:
    scale = logarithmic([0.0004, 0.7, math.inf, 0.0, math.nan], 100.0, 0.0)
    assert (scale.low, scale.high) == (0.0002, 1.0)
    assert scale.at(scale.low) == 100.0
    assert scale.at(math.inf) == 0.0
    assert scale.at(0.0) == 100.0
    assert scale.ticks == (0.001, 0.01, 0.1, 1.0)
    assert math.isclose(scale.share(math.sqrt(0.0002)), 0.5)
    assert linear([0.0, 1360.0], 0.0, 1.0).ticks == (0.0, 500.0, 1000.0, 1500.0)
    for known in ([], [0.0], [5.0], [5.0, 5.0], [-1.0, 1.0], [math.inf], [1e-300, 1e300]):
        for made in (linear(known, 0.0, 1.0), logarithmic(known, 0.0, 1.0)):
            assert made.low < made.high
            assert 1 <= len(made.ticks) <= 12


def test_passages_lie_around_the_largest_kl() -> None:
    positions = random_positions(n_chunks=1, n_depth=100)
    passage = passage_at("4", positions, 50)
    assert len(passage.tokens) == BEFORE + 1 + AFTER
    assert passage.kl == positions.kl[50]
    assert (passage.first, passage.last) == (False, False)
    edge = passage_at("4", positions, 2)
    assert (edge.worst, edge.first, edge.last) == (2, True, False)


def test_the_recommended_setting_is_read_first() -> None:
    report = report_of()
    assert report.recommendation is not None
    assert settings_in_turn(report)[0].setting == report.recommendation.setting


def _luminance(colour: str) -> float:
    """Relative luminance. Source: WCAG 2.2."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear_parts = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear_parts, strict=True))


def contrast(a: str, b: str) -> float:
    low, high = sorted((_luminance(a), _luminance(b)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_and_marks_stand_out_in_both_themes(theme: str) -> None:
    paper, card = html_style.PAPER[theme], html_style.CARD[theme]
    pairs = [paper, card, *html_style.KL[theme], *html_style.VERDICTS[theme].values()]
    for under, ink in pairs:
        assert contrast(under, ink) >= 4.5, (under, ink)
    for under in (paper[0], card[0]):
        assert contrast(under, html_style.MUTED[theme]) >= 4.5
        for colour in (*html_style.SERIES[theme], *html_style.MARKS[theme].values()):
            assert contrast(under, colour) >= 3, (under, colour)


@pytest.mark.parametrize(("theme", "sign"), [("light", -1), ("dark", 1)])
def test_each_level_of_kl_is_farther_from_the_page_in_lightness(theme: str, sign: int) -> None:
    levels = [sign * _luminance(under) for under, _ in html_style.KL[theme]]
    assert levels == sorted(levels)
    assert len(set(levels)) == len(html_style.LEVELS) + 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(MARKS) | st.characters(), max_size=12).map("".join))
def test_any_text_and_any_value_stand_in_the_page_as_they_are(text: str) -> None:
    plain = inert(text)
    value = plain.replace("|", "│") if plain.strip() else inline.ABSENT
    for markdown, said in ((inline.text(text), plain), (inline.code(text), value)):
        shown = element("p", *html_markdown.inline(markdown))
        page = checked(written(element("html", style(""), element("body", shown))))
        assert {*page.elements} <= {"html", "style", "body", "p", "code"}
        assert page.text.split() == said.split()
