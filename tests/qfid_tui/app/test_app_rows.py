"""The workbench's lists draw what has changed; the worker that reads events gives way to keys."""

from __future__ import annotations

import asyncio
import dataclasses
from types import SimpleNamespace

import pytest
from app_pilot import piloted, running
from textual import events

from qfid_tui.app import run_worker
from qfid_tui.app.widgets.rows import Rows
from scorer.models.listing import Unscorable
from scorer.models.resolve import resolve_model


def in_view(rows: Rows) -> bool:
    """Whether the row with the cursor is on a line of the widget."""
    lines = [rows.row_at(y) for y in range(rows.size.height)]
    return rows.cursor in lines


@piloted
async def test_the_cursor_stays_in_view_of_a_list_that_grows_and_shrinks() -> None:
    async with running() as (app, pilot):
        picker = app.workbench.picker
        models = [
            dataclasses.replace(resolve_model("demo"), name=f"org/model-{i}", last_used=float(i))
            for i in range(40)
        ]
        app.workbench.reader.add_models([*models, Unscorable("org/none", "no weights", 0)])
        await pilot.pause()
        assert picker.model is not None and picker.model.name == "demo"
        assert picker.cursor == 40 and in_view(picker)
        await pilot.press("slash", *"-3")
        await pilot.pause()
        assert picker.row_count() == 11 and in_view(picker)


@piloted
async def test_the_cursor_follows_a_view_that_the_wheel_scrolls() -> None:
    async with running() as (app, pilot):
        picker = app.workbench.picker
        demo = resolve_model("demo")
        app.workbench.reader.add_models(
            [dataclasses.replace(demo, name=f"org/model-{i:02}") for i in range(40)]
        )
        await pilot.press("home")
        for _ in range(8):
            picker.post_message(events.MouseScrollDown(picker, 5, 5, 0, 0, 0, False, False, False))
            await pilot.pause()
        assert picker.scroll_offset.y > 8 and in_view(picker)
        assert picker.cursor == picker.scroll_offset.y
        await pilot.press("enter")
        assert app.choices.model == f"org/model-{picker.cursor:02}"


@piloted
async def test_a_step_of_the_cursor_draws_two_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    async with running(size=(140, 45)) as (app, pilot):
        table = app.workbench.table
        table.focus()
        await pilot.pause()
        drawn: list[int] = []
        render_line = Rows.render_line

        def noted(rows: Rows, y: int) -> object:
            if rows is table:
                drawn.append(y)
            return render_line(rows, y)

        monkeypatch.setattr(Rows, "render_line", noted)
        await pilot.press("down", "down")
        await pilot.pause()
        assert table.cursor == 2
        assert {1, 2, 3} <= set(drawn) and len(drawn) <= 4


@piloted
async def test_other_themes_reach_the_rows() -> None:
    async with running(size=(140, 45)) as (app, pilot):
        table = app.workbench.table
        before = [segment.style for segment in table.render_line(1)]
        app.theme = "textual-light"
        await pilot.pause()
        after = [segment.style for segment in table.render_line(1)]
        assert len(before) == len(after) and before != after


@piloted
async def test_events_wait_while_the_loop_is_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    turn = 0.001
    now = 0.0

    def perf_counter() -> float:
        nonlocal now
        now += turn
        return now

    monkeypatch.setattr(run_worker, "time", SimpleNamespace(perf_counter=perf_counter))
    taken = 0

    async def other() -> None:
        nonlocal taken
        while True:
            taken += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    idle = run_worker.IdleLoop()
    await idle.wait()
    assert taken == 1
    turn = 1.0
    await idle.wait()
    assert taken == 25
    turn = 0.002
    await idle.wait()
    assert taken == 26
    task.cancel()
