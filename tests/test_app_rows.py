"""The workbench's lists draw what has changed; the worker that reads events gives way to keys."""

from __future__ import annotations

import asyncio
import itertools
from types import SimpleNamespace

import pytest
from app_runs import piloted, running

from qfid_tui import run_worker
from qfid_tui.widgets.rows import Rows


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


@pytest.mark.parametrize(("seconds", "turns"), [(0.0, 1), (1.0, 24)])
@piloted
async def test_events_wait_while_the_loop_is_busy(
    monkeypatch: pytest.MonkeyPatch, seconds: float, turns: int
) -> None:
    ticks = itertools.count(0.0, seconds) if seconds else itertools.repeat(0.0)
    clock = SimpleNamespace(perf_counter=lambda: next(ticks))
    monkeypatch.setattr(run_worker, "time", clock)
    taken = 0

    async def other() -> None:
        nonlocal taken
        while True:
            taken += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await run_worker._let_others_work()
    task.cancel()
    assert taken == turns
