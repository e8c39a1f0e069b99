"""The inspector in an app: every key, the mouse, any text at any size, and how it looks."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable, Coroutine
from itertools import chain
from typing import Any

import numpy as np
import pytest
from app_runs import until
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from test_token_glyphs import drawn, tokens_of_bytes
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.widgets import Footer, Static
from token_runs import HALVES, PROSE, positions_of, token_run

from qfid_tui.run_tokens import Spelling
from qfid_tui.screens.inspector import InspectorScreen
from qfid_tui.token_view import TokenView, setting_tokens
from qfid_tui.widgets.token_legend import TokenLegend
from qfid_tui.widgets.token_panel import TokenPanel, panel_rows, probability_text
from qfid_tui.widgets.token_text import BARS, TokenText

RUN = "20261124-200122-demo-06e8"
SIZES = [(80, 24), (140, 45)]
THEMES = ["textual-dark", "textual-light"]
_ACTS = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200b\u200e\u200f\ud800-\udfff]")

Test = Callable[..., Coroutine[Any, Any, None]]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.delenv("NO_COLOR", raising=False)


def driven(test: Test) -> Callable[..., None]:
    """Run a coroutine test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class Inspecting(App[None]):
    def __init__(self, run: str = RUN, setting: str = "4", **more: Any) -> None:
        super().__init__()
        self._theme = more.pop("theme", "textual-dark")
        self._inspector = InspectorScreen(run, setting, **more)

    def on_mount(self) -> None:
        self.theme = self._theme
        self.push_screen(self._inspector)

    @property
    def inspector(self) -> InspectorScreen:
        return self._inspector

    @property
    def text(self) -> TokenText:
        return self._inspector.query_one(TokenText)

    @property
    def view(self) -> TokenView:
        assert self._inspector._view is not None
        return self._inspector._view

    def panel(self) -> str:
        return "\n".join(
            self._inspector.query_one(TokenPanel).render_line(y).text for y in range(24)
        )

    def ready(self) -> bool:
        return self._inspector.has_class("-ready")


async def opened(pilot: Pilot[None]) -> None:
    app = pilot.app
    assert isinstance(app, Inspecting)
    await until(pilot, app.ready, "the run is read")


@driven
async def test_the_cursor_moves_by_tokens_lines_pages_and_ends() -> None:
    token_run(PROSE, name=RUN, length=384, chunks=(0,))
    app = Inspecting()
    async with app.run_test(size=(60, 24)) as pilot:
        await opened(pilot)
        text, lines = app.text, app.text._lines
        assert lines is not None
        assert text.cursor == 1
        for key, step in (("right", 1), ("l", 1), ("left", -1), ("h", -1)):
            before = text.cursor
            await pilot.press(key)
            assert text.cursor == before + step
        await pilot.press("right", "right", "right")
        column = lines.column(text.cursor)
        for key, step in (("down", 1), ("j", 1), ("up", -1), ("k", -1)):
            before = lines.of_token(text.cursor)[0]
            await pilot.press(key)
            line = lines.of_token(text.cursor)[0]
            assert line == before + step
            assert text.cursor == lines.token_at(line, column)
        await pilot.press("end")
        line = lines.of_token(text.cursor)[0]
        assert lines.token_at(line, 999) == text.cursor
        await pilot.press("0")
        assert text.cursor == lines.token_at(line, 0)
        await pilot.press("pagedown")
        assert lines.of_token(text.cursor)[0] == line + text.page
        await pilot.press("pageup")
        assert lines.of_token(text.cursor)[0] == line
        await pilot.press("G")
        assert text.cursor == len(app.view.ids) - 1
        await pilot.press("down", "right", "pagedown")
        assert text.cursor == len(app.view.ids) - 1
        await pilot.press("g")
        assert text.cursor == 0 and text.scroll_offset.y == 0
        await pilot.press("up", "left")
        assert text.cursor == 0


@driven
async def test_keys_go_from_flip_to_flip_and_say_when_there_is_none() -> None:
    token_run(name=RUN)
    app = Inspecting()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        flips = np.flatnonzero(app.view.cost("4").flipped).tolist()
        for flip in flips[flips[0] == 1 :]:
            await pilot.press("n")
            assert app.text.cursor == flip
            assert "flip" in app.panel()
        await pilot.press("n")
        assert app.text.cursor == flips[-1]
        assert "no flip after this token" in app.panel()
        await pilot.press("N")
        assert app.text.cursor == flips[-2]
        assert "no flip after" not in app.panel()


@driven
async def test_keys_walk_by_kl_from_the_largest() -> None:
    token_run(name=RUN)
    app = Inspecting()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        ranking = app.view.cost("4").ranking.tolist()
        await pilot.press("m", "m", "m")
        assert app.text.cursor == ranking[2]
        assert f"rank 3 of {len(ranking)}" in app.panel()
        await pilot.press("M")
        assert app.text.cursor == ranking[1]
        await pilot.press("right", "m")
        assert app.text.cursor == ranking[0]
        await pilot.press("M")
        assert "no token has a larger KL" in app.panel()
        assert app.text.cursor == ranking[0]


@driven
async def test_brackets_go_from_chunk_to_chunk() -> None:
    token_run(name=RUN, chunks=(3, 5, 9))
    app = Inspecting(chunk=5)
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert app.text.cursor == 33
        await pilot.press("left_square_bracket")
        assert app.text.cursor == 32
        await pilot.press("left_square_bracket")
        assert app.text.cursor == 0
        assert "not scored: nothing comes before it" in app.panel()
        await pilot.press("left_square_bracket")
        assert "this is the first chunk" in app.panel()
        await pilot.press("right_square_bracket", "right_square_bracket")
        assert app.text.cursor == 64 and "of chunk 9" in app.panel()
        await pilot.press("right_square_bracket")
        assert "this is the last chunk" in app.panel()


@driven
async def test_another_setting_is_shown_at_the_same_token() -> None:
    token_run(name=RUN)
    app = Inspecting(settings=("8", "4", "2"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("G")
        token = app.text.cursor
        for key, setting in (("s", "2"), ("tab", "8"), ("S", "2"), ("shift+tab", "4")):
            await pilot.press(key)
            assert app.text.cursor == token
            cost = app.view.facts(setting, token).cost
            assert cost is not None
            assert f"setting {setting}" in app.panel() and f"{cost.kl:.3g} nats" in app.panel()
            title = app.inspector.query_one("#title", Static).render()
            assert f"[{setting}]" in str(title)
            assert app.text._cost is app.view.cost(setting)


@driven
async def test_a_click_puts_the_cursor_on_a_token() -> None:
    token_run(name=RUN, length=128)
    app = Inspecting()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        lines = app.text._lines
        assert lines is not None
        await pilot.press("G")
        top = app.text.scroll_offset.y
        for y, x in ((3, 30), (5, 2), (7, 75)):
            await pilot.click(TokenText, offset=(x, y))
            assert app.text.cursor == lines.token_at(top + y, x - 2)
            top = app.text.scroll_offset.y
        await pilot.press("b", "g")
        await pilot.click(TokenText, offset=(20, 5))
        assert app.text.cursor == lines.token_at(2, 18)


@driven
async def test_the_cursor_stays_in_sight_through_resizing_and_bars() -> None:
    token_run(name=RUN, length=256)
    app = Inspecting()

    def in_sight() -> bool:
        assert app.text._lines is not None
        line = app.text._lines.of_token(app.text.cursor)[0] * app.text._rows
        top = app.text.scroll_offset.y
        return top <= line < top + app.text.scrollable_content_region.height

    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        app.text.move_to(500)
        for width, height in ((140, 45), (30, 12), (1, 1), (200, 10), (80, 24)):
            await pilot.resize_terminal(width, height)
            await pilot.press("b")
            if height > 1:
                await until(pilot, in_sight, f"in sight at {width} x {height}")
            assert app.text.cursor == 500


@driven
async def test_escape_leaves_and_the_help_shows_the_keys() -> None:
    token_run(name=RUN)
    app = Inspecting()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        await pilot.press("question_mark")
        await until(pilot, lambda: app.screen is not app.inspector, "the help is open")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.inspector, "the help is closed")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1, "the inspector is closed")


@driven
async def test_the_footer_fits_80_columns() -> None:
    token_run(name=RUN)
    app = Inspecting()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert app.inspector.query_one(Footer).virtual_size.width <= 80


@driven
async def test_keys_do_no_harm_before_anything_is_read_and_a_missing_run_is_explained() -> None:
    app = Inspecting("nonsense")
    async with app.run_test(size=(80, 24)) as pilot:
        for binding in InspectorScreen.BINDINGS:
            for key in binding.key.split(","):  # type: ignore[union-attr]
                if key not in ("escape", "question_mark"):
                    await pilot.press(key)
        waiting = app.inspector.query_one("#waiting", Static)
        await until(pilot, lambda: "there is no run" in str(waiting.render()))
        await pilot.press("n", "escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)


@driven
async def test_ids_are_shown_with_the_reason_where_the_tokenizer_is_gone() -> None:
    token_run(name=RUN, model="org/gone[/x]")
    app = Inspecting()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        assert "org/gone[/x]" in str(app.inspector.query_one("#notice", Static).render())
        assert f"id {app.view.ids[1]}" in app.panel()


@driven
async def test_half_a_character_is_named_in_the_panel() -> None:
    token_run(HALVES, name=RUN)
    app = Inspecting()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        first, second = sorted(app.view.glyphs.parts)[:2]
        app.text.move_to(second)
        await until(pilot, lambda: "part 2 of 2 of ï" in app.panel())
        app.text.move_to(first)
        await until(pilot, lambda: "part 1 of 2 of ï" in app.panel())


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


@settings(max_examples=20)
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
    lines = text._lines
    assert lines is not None
    width, top = text.scrollable_content_region.width, text.scroll_offset.y
    shown = []
    for y in range(len(lines) * text._rows):
        strip = text.render_line(y - top)
        assert strip.cell_length == cell_len(strip.text) == width
        assert not _ACTS.search(strip.text)
        line, row = divmod(y, text._rows)
        if lines.heading[line] < 0 and row == text._rows - 1:
            shown.append(strip.text[2:])
    # A line of one cell cannot hold a wide character: there nothing can be compared.
    if width >= 4:
        glyphs = view.glyphs
        everything = "".join(glyphs.texts[i] for i in glyphs.glyph)
        assert "".join(shown).replace(" ", "") == everything.replace(" ", "")
    everywhere = {token for line in range(len(lines)) for token, _, _ in text._tokens(line)}
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
        styles = {
            token: app.text._style(token)
            for token in range(len(levels))
            if token != app.text.cursor
        }
        flipped = app.view.cost("4").flipped
        assert 0 < flipped.sum() < 31
        assert all(bool(style.underline) == flipped[token] for token, style in styles.items())
        assert styles[0].dim and not any(style.dim for token, style in styles.items() if token)


@pytest.mark.parametrize(
    ("logprob", "text"),
    [(0.0, "100 %"), (-1e-4, "99.990 %"), (-1.0, "36.8 %"), (-8.0, "0.0335 %"), (-1e4, "0 %")],
)
def test_probabilities_in_percent(logprob: float, text: str) -> None:
    assert probability_text(logprob) == text


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x45"])
def test_snapshot(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await opened(pilot)
        await pilot.press("m", "m")

    token_run(PROSE, name=RUN, length=160, chunks=(2, 3, 7))
    assert snap_compare(Inspecting(theme=theme), terminal_size=size, run_before=look)


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x45"])
def test_snapshot_of_half_characters(snap_compare: Any, size: tuple[int, int], theme: str) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await opened(pilot)
        app = pilot.app
        assert isinstance(app, Inspecting)
        app.text.move_to(sorted(app.view.glyphs.parts)[1])
        await pilot.press("s")

    token_run(HALVES, name=RUN, length=96, chunks=(0, 1))
    assert snap_compare(Inspecting(theme=theme), terminal_size=size, run_before=look)


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x45"])
def test_snapshot_without_colour(
    snap_compare: Any, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    async def look(pilot: Pilot[None]) -> None:
        await opened(pilot)
        await pilot.press("n", "n")

    monkeypatch.setenv("NO_COLOR", "1")
    token_run(PROSE, name=RUN, length=160, chunks=(2, 3))
    assert snap_compare(Inspecting(), terminal_size=size, run_before=look)
