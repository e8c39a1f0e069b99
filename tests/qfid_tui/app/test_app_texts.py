"""Several texts and lengths in the app: scored in turn, a failure passed over, joined."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from app_pilot import demo_choices, painted, piloted, running, screen_text, until
from cli_saved_runs import chunk_events, failing, opening, recording, request_of, save_run, script

from scorer.runs.listing import list_runs


def several(**changes: Any) -> Any:
    values = {"corpus": "builtin", "texts": ("builtin", "code"), "chunk_length": 16}
    return demo_choices(**{**values, "lengths": (16, 32), **changes})


@piloted
async def test_texts_are_scored_in_turn_and_set_side_by_side(tmp_path: Path) -> None:
    choices = several(ticked=(8,), max_chunks=2, lengths=())
    async with running(choices, size=(100, 40)) as (app, pilot):
        await painted(app, pilot, "on each of 2 texts")
        await pilot.press("r")
        await until(pilot, lambda: bool(app.workbench.state.queue), "the second waits")
        await painted(app, pilot, "then: code text × 16")
        await until(
            pilot,
            lambda: (
                app.workbench.state.choices.text == "code" and app.comparison.phase == "finished"
            ),
            "both scored",
        )
        assert len(list(list_runs())) == 2
        await painted(app, pilot, "J sets the texts and lengths side by side")
        await pilot.press("J")
        await painted(app, pilot, "2 runs by text and length", "code text", "overall")
        assert "not scored" not in screen_text(app)
        await pilot.press("escape")
        # Nothing is scored twice.
        await until(pilot, lambda: len(app.workbench.state.saved) == 2, "the runs are read")
        await pilot.press("r")
        await painted(app, pilot, "Every text is scored at every length")
        assert len(list(list_runs())) == 2


@piloted
async def test_one_that_fails_is_told_and_the_next_goes_on(tmp_path: Path) -> None:
    file = script(tmp_path / "s", failing(None, "memory ran short", 3, "WillNotFit"))
    choices = several(texts=(), lengths=(16, 32))
    async with running(choices, script=file, size=(100, 40)) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.workbench.state.choices.chunk_length == 32, "the next")
        # The last one is told as any run that fails.
        await until(pilot, lambda: type(app.screen).__name__ == "FaultScreen", "the fault")
        assert request_of(file)["chunk_length"] == 32
        await painted(app, pilot, "built-in text × 16 was not scored: memory ran short")


@piloted
async def test_a_stopped_run_stops_those_that_wait(tmp_path: Path) -> None:
    run = save_run("8,4", finished=False, chunks=0)
    events = [*opening(run), *chunk_events(run, 2)]
    file = script(tmp_path / "s", events, "!wait", "!exit 130")
    async with running(several(), script=file) as (app, pilot):
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.saved == 4, "two chunks")
        assert len(app.workbench.state.queue) == 3
        await pilot.press("x")
        await until(pilot, lambda: app.comparison.phase == "stopped", "stopped")
        assert app.workbench.state.queue == ()
        assert app.workbench.state.choices.text == "builtin"


@piloted
async def test_the_key_says_why_it_joins_nothing(tmp_path: Path) -> None:
    async with running(demo_choices(), size=(100, 40)) as (app, pilot):
        await pilot.press("J")
        await painted(app, pilot, "Several texts or lengths are set side by side")
    async with running(several(), size=(100, 40)) as (app, pilot):
        await pilot.press("J")
        await painted(app, pilot, "None of the texts is scored yet")


@piloted
async def test_marked_runs_are_joined_from_the_history(tmp_path: Path) -> None:
    save_run("8,4")
    save_run("8")
    file = script(tmp_path / "s", recording(save_run("8")))
    async with running(demo_choices(), script=file, size=(100, 40)) as (app, pilot):
        await pilot.press("t")
        await painted(app, pilot, "Earlier runs of")
        await until(pilot, lambda: app.screen.is_read, "read")  # type: ignore[attr-defined]
        await pilot.press("space", "down", "space", "c")
        await painted(app, pilot, "side by side")
        await pilot.press("J")
        await painted(app, pilot, "2 runs by text and length", "WikiText-2")
