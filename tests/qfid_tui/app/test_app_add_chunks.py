"""A key adds chunks to the run on the screen, and to one that was opened from the history."""

from __future__ import annotations

from app_pilot import demo_choices, piloted, running, screen_text, until

from qfid_tui.app.screens.history import HistoryScreen
from qfid_tui.app.screens.prompt import PromptScreen
from scorer.runs.listing import find_run


@piloted
async def test_chunks_are_added_to_a_run_on_the_screen_and_to_one_of_the_history() -> None:
    choices = demo_choices(max_chunks=2, chunk_length=64, ticked=(8,))
    async with running(choices) as (app, pilot):
        await pilot.press("plus")
        await until(pilot, lambda: "chunks could be added to" in screen_text(app), "why not")
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
        run = find_run(str(app.comparison.run))
        await until(pilot, lambda: "+ adds chunks" in screen_text(app), "painted")

        await pilot.press("plus")
        await until(pilot, lambda: isinstance(app.screen, PromptScreen), "the prompt")
        await until(pilot, lambda: "32 more: 34 of " in screen_text(app), "what it means")
        await pilot.press("backspace", "backspace", "3", "enter")
        await until(pilot, lambda: app.comparison.planned_chunks == 5, "the plan")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
        assert app.comparison.run == run.id
        assert len(app.comparison.settings["8"].chunks) == 5 == len(run.scored()["8"])
        # The option follows: the run key has nothing left to do.
        assert app.workbench.state.choices.max_chunks == 5
        await until(pilot, lambda: "5 chunks scored" in screen_text(app), "painted")

        await pilot.press("t")
        await until(pilot, lambda: isinstance(app.screen, HistoryScreen), "the history")
        await until(pilot, lambda: "all 5" in screen_text(app), "the list with the new count")
        comparison = app.comparison
        await pilot.press("enter")
        await until(pilot, lambda: app.comparison is not comparison, "opened")
        comparison = app.comparison
        await pilot.press("plus")
        await until(pilot, lambda: isinstance(app.screen, PromptScreen), "the prompt")
        await pilot.press("backspace", "backspace", "1", "enter")
        await until(pilot, lambda: len(comparison.settings["8"].chunks) == 6, "scored")
        await until(pilot, lambda: app.comparison.phase == "finished", "finished")
        assert app.comparison is comparison and find_run(run.id).finished
