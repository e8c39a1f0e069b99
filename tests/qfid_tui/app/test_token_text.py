"""Any text is drawn whole, inert and told apart without colour, at any size."""

from __future__ import annotations

import asyncio
import re
from itertools import chain
from typing import Any

import numpy as np
import pytest
from drawn_tokens import drawn, tokens_of_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from inspector_pilot import RUN, Inspecting, driven, opened
from rich.cells import cell_len
from textual.app import App, ComposeResult
from token_text_runs import positions_of, token_run

from qfid_tui.app.widgets.token_legend import TokenLegend
from qfid_tui.app.widgets.token_panel import TokenPanel
from qfid_tui.app.widgets.token_text import BARS, TokenText
from qfid_tui.state.run_tokens import Spelling
from qfid_tui.state.setting_tokens import setting_tokens
from qfid_tui.state.token_view import TokenView
from qfid_tui.words.token_rows import panel_rows

_ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\u200e\u200f\ud800-\udfff]")


def a_view(tokens: list[bytes], length: int, seed: int) -> TokenView:
    """The view of any tokens, scored but for the first of each chunk."""
    tokens = tokens[: len(tokens) // length * length]
    numbers = {data: i for i, data in enumerate(dict.fromkeys(tokens))}
    ids = np.array([numbers[data] for data in tokens], np.int32)
    chunks = list(range(len(tokens) // length))
    batches = [
        (positions_of(chunk + seed, ids[chunk * length :][:length], 0.1), {}) for chunk in chunks
    ]
    for chunk, (positions, _) in zip(chunks, batches, strict=True):
        positions.chunk[:] = chunk
    nothing: Any = None
    return TokenView(
        *("model", "corpus", ("4",), chunks, length, ids, drawn(tokens), ""),
        Spelling({i: data for data, i in numbers.items()}),
        nothing,
        {},
        {"4": setting_tokens(batches, chunks, length)},
    )


class Texts(App[None]):
    def compose(self) -> ComposeResult:
        text = TokenText()
        yield text
        yield TokenPanel()
        yield TokenLegend(text)


cases = st.tuples(
    st.lists(tokens_of_bytes, min_size=1, max_size=4).map(lambda parts: [*chain(*parts)]),
    st.integers(2, 6),
    st.integers(1, 50),
    st.integers(1, 20),
    st.booleans(),
    st.integers(0, 60),
).filter(lambda case: len(case[0]) >= case[1])


@settings(max_examples=10)
@given(st.lists(cases, min_size=1, max_size=5))
def test_any_text_at_any_size_is_drawn_whole_in_lines_of_exact_width(
    drawings: list[tuple[list[bytes], int, int, int, bool, int]],
) -> None:
    asyncio.run(draw_all(drawings))


async def draw_all(drawings: list[tuple[list[bytes], int, int, int, bool, int]]) -> None:
    app = Texts()
    async with app.run_test(size=(80, 24)) as pilot:
        text, panel = app.query_one(TokenText), app.query_one(TokenPanel)
        for tokens, length, width, height, bars, cursor in drawings:
            await pilot.resize_terminal(width, height)
            view = a_view(tokens, length, seed=cursor)
            text.show(view, "4")
            text.show_bars(bars)
            text.move_to(cursor)
            facts = view.facts("4", text.cursor)
            panel.show(facts, "4")
            await pilot.pause()
            assert_drawn(text, view)
            rows = panel_rows(facts, "4", width, height)
            assert not any(_ACTS.search(part) for row in rows for part, _ in row)


def assert_drawn(text: TokenText, view: TokenView) -> None:
    lines = text.wrapped
    assert lines is not None
    width, top = text.scrollable_content_region.width, text.scroll_offset.y
    shown = []
    for y in range(len(lines) * text.rows_per_line):
        strip = text.render_line(y - top)
        assert strip.cell_length == cell_len(strip.text) == width
        assert not _ACTS.search(strip.text)
        line, row = divmod(y, text.rows_per_line)
        if lines.heading[line] < 0 and row == text.rows_per_line - 1:
            shown.append(strip.text[2:])
    # A line of one cell cannot hold a wide character: there nothing can be compared.
    if width >= 4:
        glyphs = view.glyphs
        everything = "".join(glyphs.texts[i] for i in glyphs.glyph)
        assert "".join(shown).replace(" ", "") == everything.replace(" ", "")
    everywhere = {token for line in range(len(lines)) for token, _, _ in text.tokens_of(line)}
    assert everywhere == set(range(len(view.ids)))


@driven
async def test_levels_flips_cursor_and_unscored_are_told_apart_without_colour() -> None:
    kl = np.geomspace(3e-4, 3.0, 31)
    token_run("a b c d e f g h i j k l m n o p", "4", name=RUN, chunks=(0,), columns={"kl": kl})
    app = Inspecting()
    app.no_color = True
    async with app.run_test(size=(120, 24)) as pilot:
        await opened(pilot)
        assert app.text.bars
        await pilot.press("right")
        levels = app.view.cost("4").level
        assert set(levels[1:].tolist()) == set(range(len(BARS)))
        bars, drawn_text = app.text.render_line(2).text, app.text.render_line(3)
        assert set(BARS) <= set(bars) and "▼" in bars
        assert drawn_text.text.startswith("▸ ")
        cost, glyphs = app.view.cost("4"), app.view.glyphs
        looks = cost.looks(glyphs)
        styles = {
            token: app.text.style_of(int(looks[glyphs.first[token]]), False)
            for token in range(len(levels))
            if token != app.text.cursor
        }
        flipped = cost.flipped
        assert 0 < flipped.sum() < 31
        assert all(bool(style.underline) == flipped[token] for token, style in styles.items())
        assert styles[0].dim and not any(style.dim for token, style in styles.items() if token)


@pytest.mark.parametrize(
    ("term", "colorterm", "theme", "bars"),
    [
        ("xterm", "", "textual-dark", True),
        ("xterm", "", "textual-light", True),
        ("xterm-256color", "", "textual-dark", False),
        ("xterm-256color", "", "textual-light", False),
        ("xterm", "truecolor", "textual-dark", False),
        ("xterm", "truecolor", "ansi-dark", True),
    ],
)
@driven
async def test_levels_that_the_terminal_cannot_tell_apart_have_bars(
    monkeypatch: pytest.MonkeyPatch, term: str, colorterm: str, theme: str, bars: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLORTERM", colorterm)
    monkeypatch.delenv("NO_COLOR", raising=False)
    token_run(name=RUN)
    app = Inspecting(theme=theme)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert app.text.bars is bars
        await pilot.press("b")
        assert app.text.bars is not bars
