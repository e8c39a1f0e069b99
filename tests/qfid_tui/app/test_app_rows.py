"""The workbench's lists draw what has changed; the worker that reads events gives way to keys."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from app_pilot import piloted, running

from qfid_tui.app import run_worker
from qfid_tui.app.widgets.rows import Rows


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
