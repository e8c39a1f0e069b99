"""On a very small screen the panel with the focus has rows, and the answer is on the screen."""

from __future__ import annotations

from pathlib import Path

import pytest
from app_pilot import demo_choices, piloted, running, screen_text, until
from cli_saved_runs import recording, save_run, script


@pytest.mark.parametrize("key", ["m", "o", "s"])
@pytest.mark.parametrize("size", [(40, 12), (60, 16), (80, 18)])
@piloted
async def test_the_panel_with_the_focus_shows_the_row_of_its_cursor(
    key: str, size: tuple[int, int]
) -> None:
    added = ("8:32", "4:32", "k8v4", "k16v4", "6:32")
    choices = demo_choices(ticked=(8, 6, 5, 4, 3, 2), added=added, ticked_added=added)
    async with running(choices, size=size) as (app, pilot):
        await pilot.press(key)
        for _ in range(9):
            await pilot.press("down")
        await pilot.pause()
        focused = app.focused
        assert focused is not None and focused.size.height >= 3
        assert "▸" in screen_text(app)


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
