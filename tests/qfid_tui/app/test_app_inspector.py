"""The inspector in an app: every key, the mouse, and how it looks."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from app_pilot import running, until
from inspector_pilot import RUN, Inspecting, driven, opened
from textual.pilot import Pilot
from textual.widgets import Static
from token_text_runs import HALVES, PROSE, token_run

from qfid_tui.app.screens.inspector import InspectorScreen
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.app.widgets.token_panel import TokenPanel
from qfid_tui.app.widgets.token_text import TokenText
from qfid_tui.state.workbench import RunSoFar

SIZES = [(80, 24), (140, 45)]
THEMES = ["textual-dark", "textual-light"]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.delenv("NO_COLOR", raising=False)


@driven
async def test_the_cursor_moves_by_tokens_lines_pages_and_ends() -> None:
    token_run(PROSE, name=RUN, length=384, chunks=(0,))
    app = Inspecting()
    async with app.run_test(size=(60, 24)) as pilot:
        await opened(pilot)
        text, lines = app.text, app.text.wrapped
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
            assert app.text.cost is app.view.cost(setting)


@pytest.mark.parametrize("size", [(60, 18), (80, 24), (140, 45)])
@driven
async def test_every_setting_and_its_top_token_are_in_sight(size: tuple[int, int]) -> None:
    token_run(PROSE, "8,6,k8v4,4,3,2", name=RUN, length=160)
    app = Inspecting()
    async with app.run_test(size=size) as pilot:
        await opened(pilot)
        await pilot.press("m")
        panel = app.inspector.query_one(TokenPanel)
        shown = [panel.render_line(y).text for y in range(panel.content_size.height)]
        for setting, cost in app.view.facts("4", app.text.cursor).settings:
            assert cost is not None and cost.top_quant.text is not None
            said = f"{'flip' if cost.flipped else 'same'}", f'"{cost.top_quant.text[:3]}'
            own = [line for line in shown if f" {setting} " in line and said[1] in line]
            assert any(said[0] in line for line in own), setting
        assert "reference" in "\n".join(shown)
        assert app.text.size.height >= 6


@driven
async def test_the_title_shows_the_chosen_setting_at_any_width() -> None:
    token_run(name=RUN, settings="8:32,6:32,k8v4:32,4:32,3:32,2:32", length=32)
    app = Inspecting(setting="2:32")
    async with app.run_test(size=(140, 45)) as pilot:
        await opened(pilot)
        title = app.inspector.query_one("#title", Static)
        for width, whole in ((140, True), (50, False), (80, True)):
            await pilot.resize_terminal(width, 24)
            await pilot.pause()
            assert app.inspector.size.width == width
            shown = str(title.render())
            assert "[2:32]" in shown and len(shown) <= width - 2
            assert ("k8v4:32" in shown) is whole and ("6 of 6" in shown) is not whole


@driven
async def test_a_click_puts_the_cursor_on_a_token() -> None:
    token_run(name=RUN, length=128)
    app = Inspecting()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        lines = app.text.wrapped
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
        assert app.text.wrapped is not None
        line = app.text.wrapped.of_token(app.text.cursor)[0] * app.text.rows_per_line
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
async def test_the_footer_fits_80_columns_with_the_keys_of_the_app() -> None:
    token_run(name=RUN)
    async with running(size=(80, 24)) as (app, pilot):
        inspector = InspectorScreen(RUN, "4")
        app.push_screen(inspector)
        await until(pilot, lambda: inspector.has_class("-ready"), "the run is read")
        footer = inspector.query_one(KeyBar)
        await until(pilot, lambda: len(footer.shown()) >= 7, "the keys are shown")
        assert footer.wanted <= 80


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
async def test_a_run_that_goes_on_is_said_to_be_a_snapshot() -> None:
    token_run(name=RUN, chunks=(0, 1))
    app = Inspecting(so_far=lambda: RunSoFar({"4": 2}, 6, ("4",)))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        notice = str(app.inspector.query_one("#notice", Static).render())
        assert "a snapshot: the run goes on, 2 of 6 chunks so far" in notice


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


def test_the_screen_imports_nothing_heavy_before_it_reads_a_run() -> None:
    program = (
        "import sys, qfid_tui.app.screens.inspector; "
        "print([m for m in ('numpy', 'pyarrow', 'tokenizers', 'mlx') if m in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


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
