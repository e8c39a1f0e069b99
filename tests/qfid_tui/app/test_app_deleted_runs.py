"""A run that is deleted in the history leaves the workbench, as a grey row and as a comparison."""

from __future__ import annotations

import threading

import pytest
from app_pilot import demo_choices, piloted, running, until
from cli_saved_runs import save_run
from deadline import DEADLINE

from qfid_tui.app import workbench_reader
from qfid_tui.app.app import QfidApp
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.app.screens.history import HistoryScreen
from scorer.runs.run import Run


def grey(app: QfidApp) -> set[str]:
    return {row.run for row in app.workbench.table.rows if row.run}


@piloted
async def test_a_deleted_run_is_no_grey_row_though_the_history_was_left_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = save_run("8")
    may_delete = threading.Event()
    delete = Run.delete

    def slow(run: Run) -> None:
        may_delete.wait(DEADLINE)
        delete(run)

    monkeypatch.setattr(Run, "delete", slow)
    async with running(demo_choices()) as (app, pilot):
        await until(pilot, lambda: grey(app) == {run.id}, "the grey row")
        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, HistoryScreen) and app.screen.run, "run")
        await pilot.press("delete")
        await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), "the question")
        await pilot.press("y")
        await until(pilot, lambda: isinstance(app.screen, HistoryScreen), "the answer")
        app.simulate_key("escape")
        may_delete.set()
        await until(pilot, lambda: app.screen is app.workbench, "the workbench")
        await until(pilot, lambda: not grey(app), "no grey row")
    assert not run.path.exists()


@piloted
async def test_a_deleted_comparison_leaves_the_screen() -> None:
    run = save_run("8", job={"chunk_length": 128})
    async with running(demo_choices()) as (app, pilot):
        app.workbench.commands.open_run(run.id)
        await until(pilot, lambda: app.comparison.run == run.id, "the opened run")
        run.delete()
        app.workbench.history_left(None)
        await until(pilot, lambda: app.comparison.run is None, "nothing on the screen")
        assert not grey(app) and not app.workbench.table.has_numbers


@piloted
async def test_a_comparison_that_another_process_deletes_leaves_the_screen_and_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(workbench_reader, "_WATCH_SECONDS", 0.05)
    run = save_run("8", job={"chunk_length": 128})
    notices: list[str] = []
    async with running(demo_choices()) as (app, pilot):
        notify = app.workbench.notify
        monkeypatch.setattr(
            app.workbench,
            "notify",
            lambda text, **more: (notices.append(text), notify(text, **more)),
        )
        app.workbench.commands.open_run(run.id)
        await until(pilot, lambda: app.comparison.run == run.id, "the opened run")
        run.delete()
        await until(pilot, lambda: app.comparison.run is None, "nothing on the screen")
    assert notices[-1] == f"Run {run.id} has been deleted: its numbers leave the screen"
