"""Runs in the app: with the real scorer on the demo model, and with children that misbehave."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from app_pilot import demo_choices, painted, piloted, running, screen_text, until
from cli_saved_runs import (
    chunk_events,
    chunk_scored,
    failing,
    is_gone,
    opening,
    recording,
    request_of,
    save_run,
    script,
)

from scorer.common.interrupts import SAME_PRESS_SECONDS
from scorer.runs.listing import find_run
from scorer.spec.events import SettingFailedEvent, Warned


def faked(**changes: Any) -> Any:
    """Choices that the saved runs of :mod:`cli_runs` were made with."""
    return demo_choices(chunk_length=16, corpus="wikitext2", **changes)


@piloted
async def test_pick_tick_run_watch_stop_go_on_and_add_with_the_real_scorer() -> None:
    async with running(demo_choices(model=None, max_chunks=24, chunk_length=128)) as (app, pilot):
        comparison = app.comparison
        await pilot.press("enter", "r")
        await until(pilot, lambda: app.comparison is not comparison, "a comparison of its own")
        comparison = app.comparison
        await until(pilot, lambda: comparison.phase == "scoring", "the plan")
        await until(pilot, lambda: comparison.saved >= 3, "three chunks")
        words = ("Running", "of 24", " left")
        await until(pilot, lambda: all(w in screen_text(app) for w in words), "live numbers")
        strips = next(row.kl for row in app.workbench.table.rows if row.name == "8")
        assert len(strips) >= 1
        await pilot.press("x")
        await until(pilot, lambda: not app.comparison.is_active, "stopped")
        assert app.comparison.phase == "stopped"
        kept = app.comparison.complete
        assert 1 <= kept < 24
        run = find_run(str(app.comparison.run))
        assert not run.finished and len(run.scored()["8"]) >= kept
        await until(pilot, lambda: "r goes on" in screen_text(app), "painted")

        await pilot.press("r")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
        assert app.comparison is comparison and app.comparison.run == run.id
        assert sorted(run.scored()["8"]) == sorted(comparison.settings["8"].chunks)
        assert len(comparison.settings["8"].chunks) == 24
        report = run.report()
        assert report is not None and run.finished
        shown = comparison.figures("4")
        assert shown is not None and shown.kl_mean == report["settings"][1]["kl"]["mean"]

        app.workbench.table.move_to(1)
        await pilot.press("space")
        await until(pilot, lambda: "scores 6 alone" in screen_text(app), "painted")
        before = (run.path / "positions.arrow").stat().st_size
        await pilot.press("r")
        await until(pilot, lambda: comparison.is_scored("6"), "6 scored")
        await until(pilot, lambda: comparison.phase == "finished", "finished again")
        assert comparison.run == run.id
        grown = (run.path / "positions.arrow").stat().st_size
        assert grown < 1.6 * before
        assert {name: len(chunks) for name, chunks in run.scored().items()} == {
            "8": 24,
            "4": 24,
            "6": 24,
        }
        await pilot.press("r")
        assert comparison.phase == "finished"


@piloted
async def test_numbers_arrive_verdicts_appear_and_a_finished_run_says_so(tmp_path: Path) -> None:
    run = save_run("8,4", job={"chunks": "spread", "kernel": "mlx-lm"})
    file = script(tmp_path / "s", recording(run))
    async with running(faked(), script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
        await until(pilot, lambda: "Finished" in screen_text(app), "painted")
        text = screen_text(app)
        assert "✓ good" in text and "✗ bad" in text and "cheapest good setting: 8" in text
        assert run.id in text
    request = request_of(file)
    assert request["settings"] == ["8", "4"] and "run" not in request


@piloted
async def test_live_numbers_are_painted_before_the_end(tmp_path: Path) -> None:
    run = save_run("8,4", finished=False, chunks=0)
    events = [*opening(run), *chunk_events(run, 2)]
    file = script(tmp_path / "s", events, Warned("slow [/x] BLAS"), "!wait", "!exit 130")
    async with running(faked(), script=file, size=(140, 45)) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: "0.3000" in screen_text(app) or "0.3 " in screen_text(app))
        words = ("2 chunks", "slow [/x] BLAS")
        await until(pilot, lambda: all(w in screen_text(app) for w in words), "painted")
        await pilot.press("x")
        await until(pilot, lambda: app.comparison.phase == "stopped", "stopped")
        await until(pilot, lambda: "2 of 4 chunks scored and saved" in screen_text(app), "painted")


@piloted
async def test_a_killed_child_is_told_with_its_log_and_goes_on(tmp_path: Path) -> None:
    run = save_run("8,4", finished=False, chunks=1, job={"chunks": "spread"})
    events = [*opening(run), *chunk_events(run, 1)]
    file = script(tmp_path / "s", "!say last [/words]", events, "!hang")
    async with running(faked(), script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.saved == 2, "two chunks")
        os.kill(int(file.with_suffix(".pid").read_text()), signal.SIGKILL)
        await until(pilot, lambda: type(app.screen).__name__ == "FaultScreen", "the fault")
        words = ("SIGKILL", "last [/words]", "2 scored chunks saved", "if memory ran out")
        await painted(app, pilot, *words)
        script(file, recording(run))
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
    assert request_of(file)["run"] == run.id


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["!exit 7"], "ended with code 7"),
        (["!say no module named mlx", "!abort"], "SIGABRT"),
        (["garbage", '{"event": 7}', "\x1b[31m", "!exit 0"], "ended with code 0"),
    ],
)
@piloted
async def test_a_child_that_ends_at_the_start_is_told(
    tmp_path: Path, words: list[str], said: str
) -> None:
    async with running(faked(), script=script(tmp_path / "s", *words)) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: type(app.screen).__name__ == "FaultScreen", "the fault")
        await painted(app, pilot, said, "qfid doctor")
        assert app.comparison.phase == "failed" and app.comparison.run is None
        await pilot.press("escape")
        await until(pilot, lambda: "r tries again" in screen_text(app), "what can be done")
        assert app.workbench.check_action("run", ()) is True


@piloted
async def test_garbage_between_events_is_passed_over(tmp_path: Path) -> None:
    run = save_run("8,4", job={"chunks": "spread"})
    parts: list[Any] = []
    for event in recording(run):
        parts += ["\x00\x1b]0;x\x07", event, "{]"]
    async with running(faked(), script=script(tmp_path / "s", *parts)) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")


@piloted
async def test_what_cannot_be_scored_is_said_in_the_scorer_s_words(tmp_path: Path) -> None:
    file = script(tmp_path / "s", failing(None, "no [/such] text", 2, "InputError"))
    async with running(faked(), script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: type(app.screen).__name__ == "FaultScreen", "the fault")
        text = await painted(app, pilot, "no [/such] text", "do something", "Close")
        assert "go on" not in text.lower()


@piloted
async def test_one_failed_setting_is_a_row_and_the_others_finish(tmp_path: Path) -> None:
    run = save_run("8,4", finished=False, chunks=0)
    failed = SettingFailedEvent("4", "SettingFailed", "exact [/zero]", "see doctor")
    chunks = [chunk_scored("8", chunk, 0.0005) for chunk in range(4)]
    file = script(tmp_path / "s", [*opening(run), failed, *chunks], "!wait", "!exit 130")
    async with running(faked(), script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.saved == 4, "four chunks")
        app.workbench.table.move_to(3)
        await until(pilot, lambda: "✗ failed" in screen_text(app), "painted")
        await until(pilot, lambda: "exact [/zero]" in screen_text(app), "painted")
        await pilot.press("x")
        await until(pilot, lambda: not app.comparison.is_active, "stopped")


@pytest.mark.parametrize("hello", [False, True])
@piloted
async def test_stop_works_on_a_child_that_hangs(tmp_path: Path, hello: bool) -> None:
    file = script(tmp_path / "s", "!deaf", opening()[:1] if hello else [], "!hang")
    async with running(faked(), script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, file.with_suffix(".pid").exists, "the child")
        if hello:
            await until(pilot, lambda: app.comparison.machine is not None, "hello")
            # A key that repeats is one press.
            await pilot.press("x", "x")
            assert app.comparison.phase == "stopping"
            await until(pilot, lambda: "x stops at once" in screen_text(app), "told")
            await pilot.pause(1.1 * SAME_PRESS_SECONDS)
            assert app.comparison.phase == "stopping"
        await pilot.press("x")
        await until(pilot, lambda: app.comparison.phase == "stopped", "stopped")
        assert is_gone(int(file.with_suffix(".pid").read_text()))
        assert app.screen is app.workbench


@piloted
async def test_quitting_during_a_run_asks_and_takes_the_child_along(tmp_path: Path) -> None:
    file = script(tmp_path / "s", "!deaf", opening()[:1], "!hang")
    async with running(faked(), script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.machine is not None, "hello")
        await pilot.press("q")
        assert type(app.screen).__name__ == "ConfirmScreen"
        await pilot.press("n")
        assert app.comparison.is_active
        await pilot.press("q", "y")
        await until(pilot, lambda: not app.is_running, "the end")
        assert is_gone(int(file.with_suffix(".pid").read_text()))
        assert app.return_code == 0


@piloted
async def test_resizing_during_a_run_loses_nothing(tmp_path: Path) -> None:
    run = save_run("8,4", job={"chunks": "spread"})
    async with running(faked(), script=script(tmp_path / "s", recording(run))) as (app, pilot):
        await pilot.press("r")
        for size in ((140, 45), (40, 10), (80, 24)):
            await pilot.resize_terminal(*size)
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
        await until(pilot, lambda: "Finished" in screen_text(app), "painted")


@piloted
async def test_ticks_during_a_run_count_for_the_next(tmp_path: Path) -> None:
    run = save_run("8,4", finished=False, chunks=0)
    file = script(tmp_path / "s", opening(run), "!wait", "!exit 130")
    async with running(faked(), script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.phase == "scoring", "the plan")
        await pilot.press("down", "space", "o", "l")
        title = screen_text(app).splitlines()[0]
        assert "chunks of 16" in title
        await pilot.press("m", "enter", "x")
        await until(pilot, lambda: app.comparison.phase == "stopped", "stopped")
        assert set(app.comparison.settings) == {"8", "4"}


@piloted
async def test_chunks_that_were_saved_and_never_heard_of_are_read(tmp_path: Path) -> None:
    run = save_run("8,4", finished=False, chunks=3, job={"chunks": "spread"})
    told = opening(run)
    object.__setattr__(told[-1], "done", {"8": 3, "4": 3})
    file = script(tmp_path / "s", told, "!wait", "!exit 130")
    async with running(faked(), script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.saved == 6, "saved chunks")
        await pilot.press("x")
        await until(pilot, lambda: not app.comparison.is_active, "stopped")


@piloted
async def test_a_saved_run_goes_on_from_the_history(tmp_path: Path) -> None:
    run = save_run("8,4", finished=False, chunks=2, job={"chunks": "spread"})
    whole = save_run("8,4", job={"chunks": "spread"})
    told = recording(whole)
    file = script(tmp_path / "s", told)
    async with running(demo_choices(), script=file) as (app, pilot):
        app.workbench.commands.open_run(run.id, app.workbench.action_run)
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
    assert request_of(file)["run"] == run.id


@piloted
async def test_an_unfinished_run_is_told_of_and_a_key_away() -> None:
    run = save_run("8,4", finished=False, chunks=2, job={"chunks": "spread"})
    async with running(demo_choices()) as (app, pilot):
        await until(pilot, lambda: f"{run.id} is unfinished" in screen_text(app), "told")
        await pilot.press("u")
        await until(pilot, lambda: app.comparison.run == run.id, "opened")
        await until(pilot, lambda: "2 of 4 chunks scored" in screen_text(app), "painted")
        assert "r goes on with 8, 4" in screen_text(app)
        assert app.workbench.check_action("resume", ()) is False


@piloted
async def test_a_saved_run_of_what_is_chosen_is_gone_on_with(tmp_path: Path) -> None:
    run = save_run("8,4", finished=False, chunks=2, job={"chunks": "spread"})
    whole = save_run("8,4", job={"chunks": "spread", "max_chunks": 5})
    file = script(tmp_path / "s", recording(whole))
    async with running(faked(), script=file) as (app, pilot):
        await until(pilot, lambda: f"r goes on with {run.id}" in screen_text(app), "offered")
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
    assert request_of(file)["run"] == run.id


@piloted
async def test_a_finished_run_of_what_is_chosen_is_opened_and_not_scored_anew() -> None:
    run = save_run("8,4", job={"chunks": "spread"})
    async with running(faked()) as (app, pilot):
        await until(pilot, lambda: f"scored already: r opens {run.id}" in screen_text(app), "said")
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.run == run.id, "opened")
        assert app.comparison.phase == "finished"
        assert app.workbench.state.choices.ticked_settings() == faked().ticked_settings()
