"""Saved results of tasks: accuracy and flips of answers, of every model, newest first."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from qfid_tui.app.actions import help_keys
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.shown_text import TONES
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.words.task_lines import task_lines
from scorer.tasks.report import TasksReport
from scorer.tasks.results import saved_reports

ResultT = TypeVar("ResultT")
# Both margins and the scroll bar.
_FRAME = 4


class TaskResultsScreen(Screen[None]):
    """Every saved report of tasks on one page that scrolls."""

    DEFAULT_CSS = """
    TaskResultsScreen #tasks-title {
        height: 1;
        padding: 0 1;
        text-style: bold;
    }
    TaskResultsScreen VerticalScroll {
        height: 1fr;
        padding: 0 1;
    }
    TaskResultsScreen #tasks {
        height: auto;
        text-wrap: nowrap;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark",
            "help",
            "Help",
            id="tasks.help",
            tooltip="Keys, and every number explained",
        ),
        Binding("escape", "close", "Close", id="tasks.close", tooltip="Back to the history"),
        Binding("j", "scroll(1)", "Down", show=False, id="tasks.down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="tasks.up"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._reports: Sequence[tuple[Path, TasksReport]] | None = None

    @property
    def is_read(self) -> bool:
        """Whether the reports have been read."""
        return self._reports is not None

    def compose(self) -> ComposeResult:
        """Title, and one page that scrolls."""
        yield Static(Content("Downstream tasks · accuracy and flips of answers"), id="tasks-title")
        with VerticalScroll():
            yield Static(Content("reading …"), id="tasks")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the reports."""
        self.query_one(VerticalScroll).focus()
        self._read()

    @work(exclusive=True)
    async def _read(self) -> None:
        self._reports = await asyncio.to_thread(saved_reports)
        self._show()

    def on_resize(self) -> None:
        """Give the columns the new width."""
        self._show()

    def _show(self) -> None:
        if self._reports is not None:
            lines = task_lines(self._reports, self.size.width - _FRAME)
            parts = [
                Content.assemble(*((text, TONES[tone]) for text, tone in line)) for line in lines
            ]
            self.query_one("#tasks", Static).update(Content("\n").join(parts))

    def action_scroll(self, lines: int) -> None:
        """Move the page by some lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_help(self) -> None:
        """Explain the keys and the numbers."""
        self.app.push_screen(HelpScreen(help_keys(self)))

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)


class TasksKeyScreen(Screen[ResultT]):
    """A screen with a key that opens the results of tasks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("t", "tasks", "Tasks", id="history.tasks", tooltip="Results of downstream tasks"),
    ]

    def action_tasks(self) -> None:
        """Show the results of tasks."""
        self.app.push_screen(TaskResultsScreen())
