"""The screen of the grid: keys for memory and context, the cell with the cursor, other screens."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from app_pilot import compare, demo_choices, piloted, running, screen_text, until
from test_app_no_disk import watch_files
from textual.widgets import Input
from weights_states import MODEL, finished

from qfid_tui.app.app import QfidApp
from qfid_tui.app.screens.detail import DetailScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.grid import GridScreen
from qfid_tui.app.screens.inspector import InspectorScreen
from qfid_tui.state.choices import Choices
from scorer.common.folders import runs_folder

WITH_WEIGHTS = demo_choices(ticked_weights=("w8", "w4"))


async def open_grid(app: QfidApp, pilot: Any) -> GridScreen:
    await pilot.press("number_sign")
    await until(pilot, lambda: isinstance(app.screen, GridScreen))
    assert isinstance(app.screen, GridScreen)
    return app.screen


async def with_numbers(app: QfidApp, pilot: Any) -> GridScreen:
    comparison = finished()
    # The app looks every other second whether the run on the screen has been deleted.
    (runs_folder() / str(comparison.run)).mkdir(parents=True)
    app.workbench.update(app.workbench.state.changed(choices=Choices(MODEL).of_job(comparison.job)))
    compare(app, comparison)
    return await open_grid(app, pilot)


async def type_in(app: QfidApp, pilot: Any, key: str, text: str) -> None:
    await pilot.press(key)
    app.screen.query_one(Input).value = text
    await pilot.press("enter")


@piloted
async def test_weights_are_ticked_beside_kv_settings_and_the_pairs_are_said() -> None:
    async with running(demo_choices()) as (app, pilot):
        await pilot.press("home", *("down",) * 7, "space")
        assert app.workbench.table.row.name == "w8" and app.choices.ticked_weights == ("w8",)
        await until(pilot, lambda: "1 set of weights × 2 KV = 5 cells" in screen_text(app))
        assert "judged by the bounds of weights" in " ".join(
            screen_text(app).replace("│", "").split()
        )
        await pilot.press("p")
        assert [s.key for s in app.choices.ticked_settings()] == ["8", "4", "w8"]


@piloted
async def test_keys_for_memory_and_context_redraw_at_once_and_read_no_file(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running(WITH_WEIGHTS) as (app, pilot):
        screen = await open_grid(app, pilot)
        assert "2 weights × 2 KV = 8 cells" in screen_text(app)
        assert "9 of 9 cells fit" in screen_text(app)
        seen = watch_files(monkeypatch)
        await pilot.press(*("minus",) * 5)
        assert "9 of 9 cells fit" not in screen_text(app)
        assert "memory 8 MB" in screen_text(app) and "( ) does not fit" in screen_text(app)
        await pilot.press("right_square_bracket")
        assert app.choices.context == 4096 and "context 4k" in screen_text(app)
        await pilot.press("p", "v", "f", "right", "plus", "equals_sign")
        assert (app.choices.parallel, app.choices.target) == (2, "cuda")
        assert app.choices.memory == 16_000_000 and screen.cell.name == "4"
        assert not seen
        await type_in(app, pilot, "m", "9.5MB")
        assert app.choices.memory == 9_500_000 and "memory 9.5 MB" in screen_text(app)
        await type_in(app, pilot, "c", "1k")
        assert app.choices.context == 1024
        await type_in(app, pilot, "m", "none")
        assert app.choices.memory is None
        await type_in(app, pilot, "m", "many")
        assert "is not an amount of memory" in screen_text(app)
        await pilot.press("escape", "escape")
        assert app.screen is app.workbench


@piloted
async def test_a_cell_opens_its_detail_and_its_text_and_the_export_has_the_deployment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[Any] = []

    def parts(key: str, run: str, deployment: Any = None) -> list[str]:
        asked.append((key, run, deployment))
        return ["report"]

    monkeypatch.setattr("qfid_tui.app.exported_file.report_parts", parts)
    async with running(demo_choices()) as (app, pilot):
        screen = await with_numbers(app, pilot)
        await pilot.press("home", *("left",) * 2)
        assert screen.cell.status == "reference"
        await pilot.press("enter", "i")
        assert app.screen is screen
        await pilot.click("#grid", offset=(44, 3))
        assert app.screen is screen and screen.cell.name == "w8+8" and "w8+8" in screen_text(app)
        for key, kind in (("enter", DetailScreen), ("i", InspectorScreen)):
            await pilot.press(key)
            await until(pilot, lambda kind=kind: isinstance(app.screen, kind))
            assert app.screen._setting == "w8+8"
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)
        await pilot.click("#grid", offset=(44, 3))
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))
        await pilot.press("escape")
        await type_in(app, pilot, "m", "300MB")
        await pilot.press("y")
        await until(pilot, lambda: "3 commands for w6+8" in screen_text(app))
        await pilot.press("e")
        assert isinstance(app.screen, ExportScreen)
        assert app.screen._markdown() == "report"
        await pilot.press("escape", "escape", "e")
        # That of the workbench is about the same memory.
        assert isinstance(app.screen, ExportScreen) and app.screen._markdown() == "report"
        for key, run, deployment in asked:
            assert (key, run) == ("md", app.comparison.run)
            assert deployment == dataclasses.replace(app.choices.deployment, memory=300_000_000)
        assert len(asked) == 2
