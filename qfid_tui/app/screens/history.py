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
from textual.events import Key
from textual.widgets import Input, Static

from qfid_tui.app.actions import help_keys, refused_action
from qfid_tui.app.history_reader import HistoryReader
from qfid_tui.app.screens.compared_runs import ComparedRunsScreen
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.screens.task_results import TasksKeyScreen
from qfid_tui.app.shown_text import shown
from qfid_tui.app.widgets.field import Field
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.app.widgets.run_table import RunTable
from qfid_tui.state.run_list import bytes_of_run
from qfid_tui.words.run_rows import (
    RunFilter,
    RunRow,
    all_about,
    count_text,
    deletion_question,
    why_not,
)
from scorer.common.errors import QfidError
from scorer.runs.listing import find_run
from scorer.runs.run_info import RunInfo

_FOOTER = (
    *("history.help", "history.open", "history.mark", "history.compare", "history.close"),
    *("history.delete", "history.resume", "history.export", "history.filter", "history.all"),
)


@dataclass(frozen=True, slots=True)
class HistoryChoice:
    """What the user chose.

    Attributes:
        run: Id of the run.
        action: ``open`` to look at it, ``resume`` to score what it still lacks.
    """

    run: str
    action: Literal["open", "resume"]


class HistoryScreen(TasksKeyScreen[HistoryChoice | None]):
    """The saved runs of a model, or of all models, newest first."""

    DEFAULT_CSS = """
    HistoryScreen #runs-title {
        height: 1;
        padding: 0 1;
        text-style: bold;
        text-wrap: nowrap;
        text-overflow: ellipsis;
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
    HistoryScreen.-low #run-about { max-height: 4; }
    """
    VERTICAL_BREAKPOINTS = [(0, "-low"), (18, "-high")]  # noqa: RUF012
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
        Binding("space", "mark", "Mark", id="history.mark", tooltip="Mark this run for c"),
        Binding(
            "c", "compare", "Compare", id="history.compare", tooltip="The marked runs in one table"
        ),
        Binding("e", "export", "Export", id="history.export", tooltip="Write its report to a file"),
        Binding("d,delete", "delete", "Delete", id="history.delete", tooltip="Delete this run"),
        Binding("slash", "filter", "Filter", id="history.filter", tooltip="Show only some runs"),
        Binding("a", "all", "All", id="history.all", tooltip="Runs of this model, or of all"),
        Binding("escape", "close", "Close", id="history.close", tooltip="Leave the history"),
    ]

    def __init__(self, model: str | None, on_workbench: str | None = None) -> None:
        """Show the runs of a model.

        Args:
            model: The model as jobs name it; None for all models.
            on_workbench: Id of the run that the workbench shows; None for none.
        """
        super().__init__()
        self._model = model
        self._on_workbench = on_workbench
        self._all = model is None
        self._reader = HistoryReader(self, self)
        self._marked: set[str] = set()
        self._shown: list[RunInfo] = []
        self._filter = RunFilter()
        self._oldest_wanted = False
        self._deleting: asyncio.Future[None] | None = None

    @property
    def is_read(self) -> bool:
        """Whether everything that is on the screen has been read."""
        return self._reader.is_at_rest

    def compose(self) -> ComposeResult:
        """Title, filter, the table, and all about the run under the cursor."""
        yield Static(id="runs-title")
        yield Field(
            placeholder="model, setting, text, state …", id="runs-filter", select_on_focus=False
        )
        yield RunTable(self._row)
        yield Static(Content("reading …"), id="empty")
        yield Static(id="run-about")
        yield KeyBar(_FOOTER)

    @property
    def _table(self) -> RunTable:
        return self.query_one(RunTable)

    def on_unmount(self) -> None:
        """End what reads."""
        self._reader.close()

    @property
    def _words(self) -> str:
        return self.query_one("#runs-filter", Input).value

    def on_mount(self) -> None:
        """Read the runs."""
        self._table.focus()
        self.show_runs()

    def on_screen_resume(self) -> None:
        """Read again: a run may have been deleted, exported or gone on with meanwhile."""
        self._read()

    def _read(self) -> None:
        self._reader.read_anew(None if self._all else self._model)

    # What the reader asks for and finds

    @property
    def lacks_rows(self) -> bool:
        """Whether the rows end before, or soon after, what is on the screen."""
        table = self._table
        page = max(table.size.height, 1)
        wanted = max(table.cursor, int(table.scroll_offset.y) + page) + page
        return self._oldest_wanted or len(self._shown) < wanted

    @property
    def in_view(self) -> Sequence[RunInfo]:
        """The run under the cursor, and those on the screen."""
        found = [self._shown[i] for i in self._table.in_view if i < len(self._shown)]
        return list(dict.fromkeys(found if self.run is None else [self.run, *found]))

    def show_runs(self) -> None:
        """Show the list anew, as far as it has been read."""
        kept, runs = self.run, self._reader.runs
        self._shown = self._filter.matching([] if runs is None else runs.infos, self._words)
        with self.app.batch_update():
            self._table.fill(
                self._shown,
                self.size.width - 2,
                models=self._all,
                keep=None if kept is None else kept.id,
            )
            self._show_counts()
        self._show_about()

    def append_runs(self, infos: Sequence[RunInfo]) -> None:
        """Show more runs below those that are shown."""
        more = self._filter.matching(infos, self._words)
        if more and not self._shown:
            # The columns follow the first runs.
            self.show_runs()
            return
        self._shown += more
        self._table.grow()
        if self._oldest_wanted:
            self._table.move_to(len(self._shown))
        self._show_counts()

    def change_runs(self, infos: Sequence[RunInfo]) -> None:
        """Show runs anew, as far as they are in the table."""
        changed = set(infos)
        for index in self._table.in_view:
            if self._shown[index] in changed:
                self._table.change(index)
        self._show_about()

    @property
    def run(self) -> RunInfo | None:
        """The run under the cursor."""
        row = self._table.cursor
        return self._shown[row] if 0 <= row < len(self._shown) else None

    def _row(self, run: RunInfo) -> RunRow:
        return RunRow(run, self._reader.outcomes.get(run), run.id in self._marked)

    def on_resize(self) -> None:
        """Give the columns the new width."""
        self.show_runs()
        self._reader.read_on()

    def _show_counts(self) -> None:
        self._table.display = bool(self._shown)
        empty = self.query_one("#empty", Static)
        empty.display = not self._shown
        empty.update(self._empty())
        self.query_one("#runs-title", Static).update(self._title())

    def _title(self) -> Content:
        whose = Content("all models") if self._all else shown(self._model or "", 200)
        runs = self._reader.runs
        counts = "" if runs is None else count_text(runs, len(self._shown))
        marked = f" · {len(self._marked)} marked" if self._marked else ""
        return Content.assemble("Earlier runs of ", whose, f"{counts}{marked}")

    def _empty(self) -> Content:
        fault, runs = self._reader.fault, self._reader.runs
        if fault is not None:
            return Content.assemble("✗ ", shown(fault.message), "\n→ ", fault.hint)
        if runs is None or not runs.is_whole:
            return Content("reading …")
        if runs.infos:
            words = shown(self._words, 100)
            return Content.assemble("No run holds ", words, ". Escape shows all again.")
        if runs.is_folder_empty:
            return Content("No run is saved yet. Escape goes back; r there makes one.")
        return Content("No run of this model is saved yet. a shows those of all models.")

    def on_rows_moved(self) -> None:
        """Tell all about the run under the cursor."""
        self._show_about()
        self._reader.read_on()

    def on_run_table_scrolled(self) -> None:
        """Read what has come into view."""
        self._reader.read_on()

    def on_run_table_oldest_wanted(self) -> None:
        """Read all runs, in parts; any key that moves the cursor ends that."""
        self._oldest_wanted = True
        self._reader.read_on()

    def on_key(self, event: Key) -> None:
        """Stop on the way to the oldest run; a key that can do nothing now says why."""
        if event.key not in ("end", "G"):
            self._oldest_wanted = False
        refused = refused_action(self, event.key)
        if refused is not None and (why := why_not(refused, self.run)):
            self.notify(why, severity="warning", markup=False)

    def _show_about(self) -> None:
        run, about = self.run, self.query_one("#run-about", Static)
        about.display = run is not None
        if run is not None:
            about.update(_facts(all_about(self._row(run))))
        self.refresh_bindings()

    def on_rows_pressed(self) -> None:
        """A click on the run under the cursor opens it."""
        self.action_open()

    def on_input_changed(self) -> None:
        """Keep the runs that hold what was typed."""
        self._reader.show()

    def on_input_submitted(self) -> None:
        """Leave the field, keep the filter."""
        self.query_one(RunTable).focus()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer what can be done with the run under the cursor, or with those marked."""
        if action == "all":
            return self._model is not None
        if action == "compare":
            return len(self._marked) > 1 or None
        if action not in ("open", "resume", "mark", "export", "delete"):
            return True
        run = self.run
        return None if run is None or why_not(action, run) else True

    def action_open(self) -> None:
        """Look at the run."""
        if self.run is not None and self.run.state != "broken":
            self.dismiss(HistoryChoice(self.run.id, "open"))

    def action_resume(self) -> None:
        """Score what the run still lacks."""
        if self.run is not None:
            self.dismiss(HistoryChoice(self.run.id, "resume"))

    def action_mark(self) -> None:
        """Mark the run for a comparison, or take its mark away."""
        if (run := self.run) is not None:
            self._marked ^= {run.id}
            self.change_runs([run])
            self._show_counts()

    def action_compare(self) -> None:
        """Show the settings of the runs that are marked in one table, newest run first."""
        self.app.push_screen(ComparedRunsScreen(sorted(self._marked, reverse=True)))

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
        self._read()

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
        size = await asyncio.to_thread(bytes_of_run, run.path)
        question = deletion_question(run, size, is_shown=run.id == self._on_workbench)
        if not await self.app.push_screen_wait(ConfirmScreen(question, "delete", "keep")):
            return
        try:
            self._deleting = asyncio.ensure_future(
                asyncio.to_thread(lambda: find_run(run.id).delete())
            )
            await self._deleting
            self._marked.discard(run.id)
        except QfidError as error:
            self.notify(" ".join((error.message, error.hint)), severity="error", markup=False)
        self._read()


def _facts(rows: Sequence[tuple[str, str]]) -> Table:
    table = Table.grid(padding=(0, 1, 0, 0))
    table.add_column(width=8)
    table.add_column(overflow="fold")
    for name, text in rows:
        table.add_row(Text(name, style="dim"), Text(shown(text, 400).plain))
    return table
