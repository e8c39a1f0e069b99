"""On a very small screen the panel with the focus has rows, and the answer is on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from app_pilot import demo_choices, piloted, running, screen_text, until
from cli_saved_runs import recording, save_run, script

from qfid_tui.app.screens.detail import DetailScreen
from qfid_tui.app.widgets.run_table import RunTable


@pytest.mark.parametrize("size", [(40, 12), (60, 16), (80, 18)])
@piloted
async def test_the_panel_with_the_focus_shows_the_row_of_its_cursor(size: tuple[int, int]) -> None:
    added = ("8:32", "4:32", "k8v4", "k16v4", "6:32")
    choices = demo_choices(ticked=(8, 6, 5, 4, 3, 2), added=added, ticked_added=added)
    async with running(choices, size=size) as (app, pilot):
        seen = set()
        for key in ("m", "o", "s"):
            await pilot.press(key, *["down"] * 9)
            await pilot.pause()
            focused = app.focused
            assert focused is not None and focused.size.height >= 3, key
            assert "▸" in screen_text(app), key
            seen.add(focused)
        assert len(seen) == 3


@piloted
async def test_verdicts_and_the_recommendation_have_room(tmp_path: Path) -> None:
    run = save_run("8,4", job={"chunks": "spread", "kernel": "mlx-lm"})
    file = script(tmp_path / "s", recording(run))
    choices = demo_choices(chunk_length=16, corpus="wikitext2")
    async with running(choices, script=file, size=(40, 12)) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
        words = ("✓ good", "✗ bad", "cheapest good setting")
        await until(pilot, lambda: all(word in screen_text(app) for word in words), "painted")


@piloted
async def test_the_history_shows_the_run_under_the_cursor() -> None:
    for _ in range(3):
        save_run("8,4")
    async with running(demo_choices(), size=(40, 12)) as (app, pilot):
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.focused, RunTable), "the list")
        await until(pilot, lambda: "state" in screen_text(app) or "model" in screen_text(app))
        assert app.focused is not None and app.focused.size.height >= 4
        assert screen_text(app).count("✓ all") >= 3


@piloted
async def test_every_panel_of_the_detail_is_within_the_screen_when_it_has_the_focus() -> None:
    run = save_run("8,4", job={"chunk_length": 128})
    async with running(demo_choices(), size=(40, 12)) as (app, pilot):
        app.workbench.commands.open_run(run.id)
        await until(pilot, lambda: app.comparison.run == run.id, "the opened run")
        await pilot.press("d")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen), "the detail")
        seen = set()
        for _ in range(5):
            panel = app.focused
            assert panel is not None
            await until(
                pilot, lambda: app.screen.region.contains_region(app.focused.region), "in view"
            )
            seen.add(panel.id)
            await pilot.press("tab")
        assert seen == {"headline", "chunks", "depth", "histogram", "tail"}
        await pilot.press("z")
        await until(pilot, lambda: "esc back" in screen_text(app), "the way back")
