"""The screen of the grid: keys for memory and context, the cell with the cursor, other screens."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from app_pilot import SIZES, compare, demo_choices, piloted, running, screen_text, until
from test_app_no_disk import watch_files
from textual.widgets import Input
from weights_states import MODEL, finished

from qfid_tui.app.app import QfidApp
from qfid_tui.app.screens.detail import DetailScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.grid import GridScreen
from qfid_tui.app.screens.inspector import InspectorScreen
from qfid_tui.state.choices import Choices
from qfid_tui.state.deployment_steps import MEMORIES
from qfid_tui.state.workbench_changes import put_deployment
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


@pytest.mark.parametrize("size", SIZES)
@piloted
async def test_weights_are_ticked_beside_kv_settings_and_the_pairs_are_said(
    size: tuple[int, int],
) -> None:
    async with running(demo_choices(), size=size) as (app, pilot):
        await pilot.press(*("down",) * 7, "space")
        assert app.workbench.table.row.name == "w8" and app.choices.ticked_weights == ("w8",)
        await until(pilot, lambda: "1 weights × 2 KV = 5 cells" in screen_text(app))
        assert "judged by the bounds of weights" in " ".join(screen_text(app).split())
        await pilot.press("p")
        assert [s.key for s in app.choices.ticked_settings()] == ["8", "4", "w8"]


@pytest.mark.parametrize("size", SIZES)
@piloted
async def test_keys_for_memory_and_context_redraw_at_once_and_read_no_file(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    async with running(WITH_WEIGHTS, size=size) as (app, pilot):
        screen = await open_grid(app, pilot)
        assert "2 weights × 2 KV = 8 cells" in screen_text(app)
        assert "9 of 9 cells fit" in screen_text(app)
        seen = watch_files(monkeypatch)
        await pilot.press(*("minus",) * 3)
        assert "memory 16 MB" in screen_text(app)
        await pilot.press("minus", "minus")
        assert "9 of 9 cells fit" not in screen_text(app)
        assert "memory 8 MB" in screen_text(app) and "( ) does not fit" in screen_text(app)
        await pilot.press("right_square_bracket")
        assert app.choices.context == 4096 and "context 4k" in screen_text(app)
        await pilot.press("p", "v", "f", "down", "right", "end", "home")
        assert (app.choices.parallel, app.choices.target) == (2, "cuda")
        await pilot.press("plus", "equals_sign")
        assert app.choices.memory == 16_000_000
        app.workbench.update(put_deployment(app.workbench.state, memory=MEMORIES[-1]))
        await pilot.press("plus")
        assert app.choices.memory is None and screen.cell.name == "4"
        assert not seen


async def type_in(app: QfidApp, pilot: Any, key: str, text: str) -> None:
    await pilot.press(key)
    app.screen.query_one(Input).value = text
    await pilot.press("enter")


@piloted
async def test_memory_and_context_can_be_typed() -> None:
    async with running(WITH_WEIGHTS) as (app, pilot):
        await open_grid(app, pilot)
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
async def test_a_cell_opens_its_detail_and_its_text() -> None:
    async with running(demo_choices()) as (app, pilot):
        screen = await with_numbers(app, pilot)
        await pilot.press("home", *("left",) * 2)
        assert screen.cell.status == "reference"
        await pilot.press("enter", "i")
        assert app.screen is screen
        await pilot.press("down", "right")
        assert screen.cell.name == "w8+8" and "w8+8" in screen_text(app)
        for key, kind in (("enter", DetailScreen), ("i", InspectorScreen)):
            await pilot.press(key)
            await until(pilot, lambda kind=kind: isinstance(app.screen, kind))
            assert app.screen._setting == "w8+8"
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)


@piloted
async def test_an_export_has_the_deployment_on_the_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def parts(key: str, run: str, deployment: Any = None) -> list[str]:
        asked.append((key, run, deployment))
        return ["report"]

    monkeypatch.setattr("qfid_tui.app.exported_file.report_parts", parts)
    async with running(demo_choices()) as (app, pilot):
        await with_numbers(app, pilot)
        await type_in(app, pilot, "m", "300MB")
        await pilot.press("e")
        assert isinstance(app.screen, ExportScreen)
        assert app.screen._markdown() == "report"
        [(key, run, deployment)] = asked
        assert (key, run) == ("md", app.comparison.run)
        assert deployment == dataclasses.replace(app.choices.deployment, memory=300_000_000)


@piloted
async def test_the_grid_follows_a_run_and_says_what_is_loaded() -> None:
    from cli_saved_runs import chunk_scored

    from scorer.spec.events import Loading, Planned, SettingDropped

    async with running(WITH_WEIGHTS, size=(140, 45)) as (app, pilot):
        await open_grid(app, pilot)
        comparison, job = app.comparison, app.choices.job()
        comparison.begin(job)
        names = [setting.key for setting in job.settings]
        comparison.add(
            Planned(
                run="r1",
                run_path="/runs/r1",
                model="demo",
                settings=names,
                chunks=[0, 1],
                done={},
                positions_per_chunk=dict.fromkeys(names, 15),
                kv_bytes_per_token=dict.fromkeys(names, 100.0),
                kv_bytes_per_token_16bit=200.0,
                batch=1,
                arithmetic="cpu",
            )
        )
        for chunk in (0, 1):
            comparison.add(chunk_scored("8", chunk, 0.004))
            comparison.add(chunk_scored("4", chunk, 0.3))
        comparison.add(Loading("model", "w4"))
        comparison.add(SettingDropped("4", "beaten by `8`"))
        await until(pilot, lambda: "✓ 0.004" in screen_text(app), "the number of a cell")
        assert "loading w4, 4 of 16 settings × chunks scored" in screen_text(app)
        assert "‖" in screen_text(app) and "so far" in screen_text(app)
        comparison.end(by_user=True)
