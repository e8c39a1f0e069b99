"""The detail screen follows a run that goes on, and lays a second setting over its charts."""

from __future__ import annotations

from typing import Any

import pytest
from detail_pilot import Detail, compared, driven, loaded, saved_detail, screen_of, until
from saved_setting_runs import CHUNKS, add_chunks, saved_run
from textual.app import App
from textual.widgets import Static

from qfid_tui.app.screens import detail
from qfid_tui.app.widgets.chunk_chart import ChunkChart
from qfid_tui.app.widgets.depth_chart import DepthChart
from qfid_tui.app.widgets.histogram import Histogram
from qfid_tui.app.widgets.tail_list import TailList
from qfid_tui.state import setting_detail
from qfid_tui.state.setting_detail import SettingDetail
from qfid_tui.state.workbench import RunSoFar


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


@pytest.fixture
def saved() -> str:
    return saved_detail()


def title_of(app: App[None]) -> str:
    return str(app.screen.query_one("#what", Static).render())


def so_far(chunks: int, settings: tuple[str, ...] = ("8", "4", "2")) -> RunSoFar:
    return RunSoFar(dict.fromkeys(settings, chunks), len(CHUNKS), settings)


@driven
async def test_a_run_that_goes_on_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detail, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(detail, "_FOLLOW_SECONDS", 0.0)
    monkeypatch.setattr(detail, "_PAUSE", 0)
    run = saved_run("8,4,2", report=False, scored=CHUNKS[1:3])
    app = Detail(run=run.id)
    app.so_far = so_far(2)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        assert "follows the run, 2 of 6 chunks so far" in title_of(app)
        chart, tail = app.screen.query_one(ChunkChart), app.screen.query_one(TailList)
        chart.focus()
        await pilot.press("home")
        assert chart.chunk == CHUNKS[1]
        tail.focus()
        await pilot.press("down", "down")
        picked = tail.picked
        assert picked is not None
        add_chunks(run, CHUNKS[:1])
        app.so_far = so_far(3)
        await until(pilot, lambda: "3 of 6 chunks so far" in title_of(app))
        assert len(chart.readings()) == 3
        # The cursors stay on what they read, whatever was scored before it.
        assert chart.chunk == CHUNKS[1] and chart.cursor == 1
        assert tail.picked is not None
        assert (tail.picked.chunk, tail.picked.position) == (picked.chunk, picked.position)
        add_chunks(run, CHUNKS[3:])
        app.so_far = None
        await until(pilot, lambda: len(chart.readings()) == len(CHUNKS))
        assert "follows" not in title_of(app)
        # A setting that was read before is read again.
        await pilot.press("right_square_bracket")
        await until(pilot, loaded(app, "2"))
        assert len(chart.readings()) == len(CHUNKS)


@driven
async def test_a_run_is_not_read_at_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detail, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(detail, "_FOLLOW_SECONDS", 3600.0)
    reads = []
    real = setting_detail.read_setting_detail

    def read(run: str, setting: str, *more: Any) -> SettingDetail:
        reads.append(setting)
        return real(run, setting, *more)

    monkeypatch.setattr(setting_detail, "read_setting_detail", read)
    app = Detail(run=saved_run("8,4,2", report=False).id)
    app.so_far = so_far(1)
    looks = 0

    def look() -> RunSoFar | None:
        nonlocal looks
        looks += 1
        return so_far(looks)

    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        screen_of(app)._so_far = look
        await until(pilot, lambda: looks > 20)
        assert reads == ["4"]
        # The end is not waited for.
        screen_of(app)._so_far = lambda: None
        await until(pilot, lambda: reads == ["4", "4"])


@driven
async def test_settings_that_are_scored_meanwhile_can_be_gone_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detail, "_LOOK_SECONDS", 0.02)
    app = Detail(run=saved_run("8,6,4,2", report=False).id)
    app.so_far = so_far(1, ("4",))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        await until(pilot, lambda: screen_of(app).check_action("setting", (1,)) is None)
        app.so_far = so_far(1, ("4", "2"))
        await until(pilot, lambda: screen_of(app).check_action("setting", (1,)) is True)
        await pilot.press("right_square_bracket")
        await until(pilot, loaded(app, "2"))


@driven
async def test_settings_are_laid_over_the_charts_one_after_another(saved: str) -> None:
    app = Detail(run=saved)
    async with app.run_test(size=(140, 45)) as pilot:
        await until(pilot, loaded(app))
        charts = [app.screen.query_one(kind) for kind in (ChunkChart, DepthChart, Histogram)]
        for other in ("8", "6", "2"):
            await pilot.press("c")
            await until(pilot, compared(app, f"setting 4, ━ {other}".removeprefix("setting ")))
            assert all(f"4, ━ {other}" in chart.heading() for chart in charts)
            assert all(f"less {other}: " in chart.readings()[0] for chart in charts)
            numbers = str(app.screen.query_one("#numbers", Static).render())
            assert f"KL mean less {other}: " in numbers and "told apart" in numbers
        # A setting is not compared with itself, and after the last one with none.
        await pilot.press("right_square_bracket")
        await until(pilot, loaded(app, "2"))
        assert all("━" not in chart.heading() for chart in charts)
        await pilot.press("c", "c", "c", "c")
        await until(pilot, loaded(app, "2"))
        assert "less" not in charts[0].readings()[0]
