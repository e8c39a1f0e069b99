"""Saved results of tasks: accuracy and flips of answers, of every model, newest first."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen

from qfid_tui.app.screens.page import PageScreen, lines_of, page_bindings
from qfid_tui.words.task_lines import task_lines
from scorer.tasks.report import TasksReport
from scorer.tasks.results import saved_reports

ResultT = TypeVar("ResultT")
Reports = Sequence[tuple[Path, TasksReport]]
"""Folders of saved results and their reports."""


class TaskResultsScreen(PageScreen[Reports]):
    """Every saved report of tasks on one page that scrolls."""

    PAGE = "tasks"
    BINDINGS: ClassVar[list[BindingType]] = page_bindings(PAGE, "Back to the history")

    def page_title(self) -> str:
        """What is shown."""
        return "Downstream tasks · accuracy and flips of answers"

    def read(self) -> Reports:
        """Read the reports."""
        return saved_reports()

    def page(self, found: Reports, width: int) -> Content:
        """The tables of all reports."""
        return lines_of(task_lines(found, width))


class TasksKeyScreen(Screen[ResultT]):
    """A screen with a key that opens the results of tasks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "tasks", "Tasks", id="history.tasks", tooltip="Results of downstream tasks"),
    ]

    def action_tasks(self) -> None:
        """Show the results of tasks."""
        self.app.push_screen(TaskResultsScreen())
