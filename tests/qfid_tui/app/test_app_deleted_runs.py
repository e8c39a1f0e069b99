"""A run that is deleted in the history leaves the workbench, as a grey row and as a comparison."""

from __future__ import annotations

import os
import shutil
import signal
import threading
from pathlib import Path

import pytest
from app_pilot import demo_choices, painted, piloted, running, until
from cli_saved_runs import chunk_events, failing, opening, save_run, script
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


@pytest.mark.parametrize("end", ["failed", "killed", "stopped"])
@piloted
async def test_a_run_whose_folder_goes_while_it_is_scored_ends_with_one_true_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    run = save_run("8,4", finished=False, chunks=1, job={"chunks": "spread"})
    file = tmp_path / "script"
    last = failing(None, "the file cannot be found any more", 1)[-1] if end == "failed" else ""
    code = "!exit 130" if end == "stopped" else "!exit 1"
    script(file, [*opening(run), *chunk_events(run, 1)], "!wait", last, code)
    notices: list[str] = []
    async with running(demo_choices(chunks="spread"), script=file) as (app, pilot):
        monkeypatch.setattr(app.workbench, "notify", lambda text, **_: notices.append(text))
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.saved == 2, "two chunks")
        shutil.rmtree(run.path)
        child = int(file.with_suffix(".pid").read_text())
        if end == "stopped":
            await pilot.press("x")
        else:
            os.kill(child, signal.SIGKILL if end == "killed" else signal.SIGINT)
        await until(pilot, lambda: app.comparison.run is None, "nothing on the screen")
        if end == "stopped":
            assert app.screen is app.workbench
            assert notices == [f"Run {run.id} has been deleted: its numbers leave the screen"]
            return
        await until(pilot, lambda: type(app.screen).__name__ == "FaultScreen", "the fault")
        text = await painted(app, pilot, "Not saved any more: 2 scored chunks", "Close")
        assert not notices and "Go on" not in text and not app.workbench.table.has_numbers
