"""The screen with the results of tasks, opened from the history."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cli_saved_runs import save_run
from side_screen_app import Below, drive, text_of, until
from task_reports import made_report
from textual.pilot import Pilot

from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.screens.history import HistoryScreen
from qfid_tui.app.screens.task_results import TaskResultsScreen
from scorer.tasks.formats import to_markdown
from scorer.tasks.results import Results


def save() -> None:
    report = made_report()
    with Results("demo", {"requests": "x"}) as results:
        results.save(report, to_markdown(report), "task\n")


async def opened(app: Below, pilot: Pilot[Any]) -> None:
    def is_so() -> bool:
        screen = app.screen
        return isinstance(screen, TaskResultsScreen) and screen.is_read

    await pilot.press("t")
    await until(pilot, is_so)


def test_results_open_from_the_history(tmp_path: Path) -> None:
    save_run()
    save()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, HistoryScreen) and app.screen.is_read)
        await opened(app, pilot)
        assert "demo · words · 40 items" in text_of(app, "#tasks")
        assert "worse" in text_of(app, "#tasks")
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        await pilot.press("escape", "j", "k", "escape")
        assert isinstance(app.screen, HistoryScreen)

    drive(lambda _: HistoryScreen("demo"), steps, size=(80, 24))


def test_without_results_the_command_line_is_named(tmp_path: Path) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: isinstance(app.screen, HistoryScreen) and app.screen.is_read)
        await opened(app, pilot)
        assert "qfid tasks MODEL --tasks DIR" in text_of(app, "#tasks")

    drive(lambda _: HistoryScreen(None), steps, size=(80, 24))
