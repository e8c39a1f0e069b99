"""The app asks before it scores what another process is scoring."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from app_pilot import demo_choices, piloted, running, screen_text, until
from cli_saved_runs import recording, save_run, script
from running_runs import held

from qfid_tui.app.screens import side_screens
from qfid_tui.app.screens.confirm import ConfirmScreen


@piloted
async def test_it_asks_before_it_scores_what_another_process_scores(tmp_path: Path) -> None:
    other = save_run("8,4", finished=False, chunks=1, job={"chunks": "spread"})
    scored = save_run("8,4", job={"chunks": "spread", "kernel": "mlx-lm"})
    file = script(tmp_path / "s", recording(scored))
    choices = demo_choices(chunk_length=16, corpus="wikitext2", max_chunks=4)
    with held(other.path) as pid:
        async with running(choices, script=file) as (app, pilot):
            await pilot.press("r")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), "the question")
            assert f"Process {pid} is scoring 8, 4" in " ".join(screen_text(app).split())
            await pilot.press("n")
            await until(pilot, lambda: app.screen is app.workbench, "answered")
            assert app.comparison.phase == "idle" and not file.with_suffix(".request").exists()
            await pilot.press("r")
            await until(pilot, lambda: isinstance(app.screen, ConfirmScreen), "the question")
            await pilot.press("y")
            await until(pilot, lambda: app.comparison.phase == "finished", "finished")


@piloted
async def test_locks_are_looked_at_beside_the_app_and_one_run_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored = save_run("8,4", job={"chunks": "spread", "kernel": "mlx-lm"})
    file = script(tmp_path / "s", recording(scored))
    go_on, threads = threading.Event(), list[threading.Thread]()

    def look(_: Any) -> None:
        threads.append(threading.current_thread())
        assert go_on.wait(60)

    monkeypatch.setattr(side_screens, "running_elsewhere", look)
    choices = demo_choices(chunk_length=16, corpus="wikitext2", max_chunks=4)
    async with running(choices, script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: len(threads) == 1, "looking")
        # Keys are answered meanwhile; only the last press counts.
        await pilot.press("r")
        await until(pilot, lambda: len(threads) == 2, "looking again")
        assert app.comparison.phase == "idle" and threading.main_thread() not in threads
        go_on.set()
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
