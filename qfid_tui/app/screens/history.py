"""Earlier runs: looked through, opened, gone on with, exported, deleted."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from rich.table import Table
from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Input, Static

from qfid_tui.app.actions import help_keys
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.shown_text import shown
from qfid_tui.app.widgets.field import Field
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.app.widgets.run_table import RunTable
from qfid_tui.words.run_rows import all_about, deletable, matches, resumable, when
from scorer.common.errors import QfidError
from scorer.report.formats.inline import plural
from scorer.runs.listing import find_run, list_runs
from scorer.runs.run_info import RunInfo


@dataclass(frozen=True, slots=True)
class HistoryChoice:
    """What the user chose.

    Attributes:
        run: Id of the run.
        action: ``open`` to look at it, ``resume`` to score what it still lacks.
    """

    run: str
    action: Literal["open", "resume"]


class HistoryScreen(Screen[HistoryChoice | None]):
    """The saved runs of a model, or of all models, newest first."""

    DEFAULT_CSS = """
    HistoryScreen #runs-title {
        height: 1;
        padding: 0 1;
        text-style: bold;
    }
    HistoryScreen #runs-filter {
        display: none;
        margin: 0 1;
    }
    HistoryScreen #runs-filter.-open {
        display: block;
    }
    HistoryScreen RunTable {
        height: 1fr;
    }
    HistoryScreen #empty {
        height: 1fr;
        padding: 1 2;
    }
    HistoryScreen #run-about {
        height: auto;
        max-height: 9;
        padding: 0 1;
        border-top: solid $primary;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark",
            "help",
            "Help",
            id="history.help",
            tooltip="Keys, and every number explained",
        ),
        Binding("enter", "open", "Open", id="history.open", tooltip="Look at this run"),
        Binding("g", "resume", "Go on", id="history.resume", tooltip="Score what it still lacks"),
        Binding("e", "export", "Export", id="history.export", tooltip="Write its report to a file"),
        Binding("d,delete", "delete", "Delete", id="history.delete", tooltip="Delete this run"),
        Binding("slash", "filter", "Filter", id="history.filter", tooltip="Show only some runs"),
        Binding("a", "all", "All", id="history.all", tooltip="Runs of this model, or of all"),
        Binding("escape", "close", "Close", id="history.close", tooltip="Leave the history"),
    ]

    def __init__(self, model: str | None) -> None:
        """Show the runs of a model.

        Args:
            model: The model as jobs name it; None for all models.
        """
        super().__init__()
        self._model = model
        self._all = model is None
        self._runs: list[RunInfo] | None = None
        self._fault: QfidError | None = None
        self._shown: list[RunInfo] = []
        self._deleting: asyncio.Future[None] | None = None

    @property
    def is_read(self) -> bool:
        """Whether the list of runs has been read."""
        return self._runs is not None

    def compose(self) -> ComposeResult:
        """Title, filter, the table, and all about the run under the cursor."""
        yield Static(id="runs-title")
        yield Field(
            placeholder="model, setting, text, state …", id="runs-filter", select_on_focus=False
        )
        yield RunTable(cursor_type="row", zebra_stripes=False, cell_padding=1)
        yield Static(Content("reading …"), id="empty")
        yield Static(id="run-about")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the runs."""
        self.query_one(RunTable).focus()
        self._show()

    def on_screen_resume(self) -> None:
        """Read again: a run may have been deleted, exported or gone on with meanwhile."""
        self._read()

    @work(exclusive=True, group="read", exit_on_error=False)
    async def _read(self) -> None:
        try:
            self._runs, self._fault = await asyncio.to_thread(list_runs), None
        except QfidError as error:
            self._runs, self._fault = [], error
        self._show()

    @property
    def run(self) -> RunInfo | None:
        """The run under the cursor."""
        row = self.query_one(RunTable).cursor_row
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def on_resize(self) -> None:
        """Give the columns the new width."""
        self._show()

    def _show(self) -> None:
        table = self.query_one(RunTable)
        words = self.query_one("#runs-filter", Input).value
        kept = self.run
        mine = [run for run in self._runs or () if self._all or run.model == self._model]
        self._shown = [run for run in mine if matches(run, words)]
        with self.app.batch_update():
            table.fill(self._shown, self.size.width - 2, models=self._all, keep=kept)
            table.display = bool(self._shown)
            empty = self.query_one("#empty", Static)
            empty.display = not self._shown
            empty.update(self._empty(bool(mine), words))
            self.query_one("#runs-title", Static).update(self._title(len(mine)))
        self._show_about()

    def _title(self, count: int) -> Content:
        whose = Content("all models") if self._all else shown(self._model or "", 200)
        few = f", {len(self._shown)} shown" if len(self._shown) != count else ""
        return Content.assemble("Earlier runs of ", whose, f" · {count}{few}")

    def _empty(self, any_run: bool, words: str) -> Content:
        if self._fault is not None:
            return Content.assemble("✗ ", shown(self._fault.message), "\n→ ", self._fault.hint)
        if self._runs is None:
            return Content("reading …")
        if any_run:
            return Content.assemble("No run holds ", shown(words, 100), ". Escape shows all again.")
        if self._runs:
            return Content("No run of this model is saved yet. a shows those of all models.")
        return Content("No run is saved yet. Escape goes back; r there makes one.")

    def on_data_table_row_highlighted(self) -> None:
        """Tell all about the run under the cursor."""
        self._show_about()

    def _show_about(self) -> None:
        run, about = self.run, self.query_one("#run-about", Static)
        about.display = run is not None
        if run is not None:
            about.update(_table(all_about(run)))
        self.refresh_bindings()

    def on_data_table_row_selected(self) -> None:
        """A click on the run under the cursor opens it."""
        self.action_open()

    def on_input_changed(self) -> None:
        """Keep the runs that hold what was typed."""
        self._show()

    def on_input_submitted(self) -> None:
        """Leave the field, keep the filter."""
        self.query_one(RunTable).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done with the run under the cursor."""
        if action == "all":
            return self._model is not None
        if action not in ("open", "resume", "export", "delete"):
            return True
        run = self.run
        if run is None or run.state == "broken":
            return None
        if action == "resume" and not resumable(run):
            return None
        return None if action == "delete" and not deletable(run) else True

    def action_open(self) -> None:
        """Look at the run."""
        if self.run is not None and self.run.state != "broken":
            self.dismiss(HistoryChoice(self.run.id, "open"))

    def action_resume(self) -> None:
        """Score what the run still lacks."""
        if self.run is not None:
            self.dismiss(HistoryChoice(self.run.id, "resume"))

    def action_export(self) -> None:
        """Write the run's report."""
        if (run := self.run) is not None:
            title = f"{run.model.rpartition('/')[2]} · {', '.join(run.settings)}"
            self.app.push_screen(ExportScreen(run.id, title, self.app.export_screenshot))

    def action_help(self) -> None:
        """Explain keys and numbers."""
        self.app.push_screen(HelpScreen(help_keys(self)))

    def action_filter(self) -> None:
        """Open the field."""
        field = self.query_one("#runs-filter", Input)
        field.add_class("-open")
        field.focus()

    def action_all(self) -> None:
        """Switch between this model and all."""
        self._all = not self._all
        self._show()

    async def action_close(self) -> None:
        """Drop the filter, or leave, not before a run that is being deleted is gone."""
        field = self.query_one("#runs-filter", Input)
        if field.has_class("-open"):
            field.value = ""
            field.remove_class("-open")
            self.query_one(RunTable).focus()
        else:
            if self._deleting is not None:
                await asyncio.wait({self._deleting})
            self.dismiss(None)

    @work(group="delete", exit_on_error=False)
    async def action_delete(self) -> None:
        """Delete the run, after asking."""
        run = self.run
        if run is None:
            return
        question = (
            f"Delete the run of {run.model[:200]}, {', '.join(run.settings)[:200]}, from "
            f"{when(run)}? Its {plural(run.chunks_done, 'scored chunk')} cannot be brought back."
        )
        if not await self.app.push_screen_wait(ConfirmScreen(question, "delete", "keep")):
            return
        try:
            self._deleting = asyncio.ensure_future(
                asyncio.to_thread(lambda: find_run(run.id).delete())
            )
            await self._deleting
        except QfidError as error:
            self.notify(" ".join((error.message, error.hint)), severity="error", markup=False)
        self._read()


def _table(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=8)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name, style="dim"), Text(shown(text, 150).plain))
    return table
