"""Weights beside KV settings: how each cell drifts, whether it fits, and which one to run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.screen import Screen
from textual.widgets import Static

from qfid_tui.app.actions import help_keys, refused_action
from qfid_tui.app.clipboard import copy
from qfid_tui.app.screens.detail import DetailScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.grid_keys import BINDINGS, FOOTER
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.screens.inspector import InspectorScreen
from qfid_tui.app.screens.typed_values import context_prompt, memory_prompt
from qfid_tui.app.state_owner import StateOwner
from qfid_tui.app.widgets.grid_table import GridTable
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.app.widgets.lines_panel import LinesPanel, content_of
from qfid_tui.app.widgets.scatter import Scatter
from qfid_tui.state.chart_points import total_chart
from qfid_tui.state.choices import DEVICES
from qfid_tui.state.deployment_steps import next_context, next_memory
from qfid_tui.state.grid import Grid, GridCell
from qfid_tui.state.workbench import RunSoFar, exported_title, run_so_far
from qfid_tui.state.workbench_changes import comparison_changed, put_deployment
from qfid_tui.words.grid_lines import (
    Number,
    about_cell,
    answer_lines,
    deployment_line,
    grid_title,
)
from scorer.report.deployment_part import DeploymentPart
from scorer.report.formats.inline import plural
from scorer.spec.deployment import DEFAULT_CONTEXT

_PAINTS_PER_SECOND = 8
_SETTLED_SECONDS = 0.2
_NUMBERS: tuple[Number, ...] = ("KL", "bytes", "flips")
_SEQUENCES = (1, 2, 4, 8)


class GridScreen(Screen[None]):
    """The grid, the cell with the cursor, and what to run."""

    DEFAULT_CSS = """
    GridScreen {
        & #grid-head { dock: top; height: 2; }
        & #grid-title, & #grid-where {
            height: 1;
            padding: 0 1;
            text-wrap: nowrap;
            text-overflow: ellipsis;
        }
        & #grid-title { text-style: bold; }
        & .panel {
            border: round $foreground 30%;
            border-title-color: $foreground;
            border-subtitle-color: $foreground 70%;
            border-subtitle-align: left;
        }
        & .panel:focus { border: round $primary; border-title-style: bold; }
        & .panel:nocolor:focus { border: heavy $foreground; }
        & #grid { height: auto; }
        & #grid-lower { layout: vertical; height: 1fr; }
        & #grid-cell, & #grid-answer { height: 1fr; }
        & #grid-scatter { display: none; }
        &.-wide #grid-lower { layout: grid; grid-size: 2 2; grid-rows: 2fr 3fr; }
        &.-wide.-short #grid-lower { grid-size: 2 1; grid-rows: 1fr; }
        &.-wide.-tall #grid-scatter { display: block; row-span: 2; }
        & .-maximized { width: 1fr; height: 1fr; }
    }
    """
    ALLOW_IN_MAXIMIZED_VIEW = "#grid-head, KeyBar"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]  # noqa: RUF012
    VERTICAL_BREAKPOINTS = [(0, "-short"), (36, "-tall")]  # noqa: RUF012
    AUTO_FOCUS = "#grid"
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS

    def __init__(self, owner: StateOwner) -> None:
        """Show the grid of the workbench.

        Args:
            owner: The owner of the workbench's state, which is the grid's too.
        """
        super().__init__()
        self._owner = owner
        self._number: Number = "KL"
        self._shown: tuple[object, ...] = ()
        self._contexts: tuple[Grid, DeploymentPart] | None = None

    def compose(self) -> ComposeResult:
        """Title, where it is to run, the grid, the cell, the answer, the chart."""
        with Container(id="grid-head"):
            yield Static(id="grid-title", markup=False)
            yield Static(id="grid-where", markup=False)
        yield GridTable(id="grid")
        with Container(id="grid-lower"):
            yield LinesPanel("Cell", id="grid-cell")
            yield Scatter(id="grid-scatter", classes="panel")
            yield LinesPanel("What to run", id="grid-answer")
        yield KeyBar(FOOTER)

    def on_mount(self) -> None:
        """Put the cursor on the setting of the workbench, and follow the run."""
        self.show()
        row = self._owner.state.row
        place = None if row is None or row.run else self._grid.place_of(row.name)
        if place is not None:
            self._table.column = place[1]
            self._table.move_to(place[0])
        self.show()
        self.set_interval(1 / _PAINTS_PER_SECOND, self.show)

    @property
    def _table(self) -> GridTable:
        return self.query_one(GridTable)

    @property
    def _grid(self) -> Grid:
        return self._owner.state.grid

    @property
    def cell(self) -> GridCell:
        """The cell with the cursor."""
        return self._grid.cell(self._table.cursor, self._table.column)

    @property
    def is_complete(self) -> bool:
        """Whether the choice at other contexts is known for what is shown."""
        return self._contexts is not None and self._contexts[0] is self._grid

    def on_resize(self) -> None:
        """Texts fit the width."""
        self._shown = ()
        self.call_after_refresh(self.show)

    def on_rows_moved(self) -> None:
        """The panels are about the cell with the cursor."""
        self.show()

    def show(self) -> None:
        """Show the state of the workbench, as far as it has changed."""
        if not self.is_attached:
            return
        state = comparison_changed(self._owner.state)
        grid, comparison, table = state.grid, state.comparison, self._table
        width = self.size.width - 2
        title = grid_title(grid, comparison, width)
        contexts = self._contexts[1] if self._contexts and self._contexts[0] is grid else None
        place = table.cursor, table.column
        shown = (grid, title, place, self._number, self.size, contexts)
        if len(shown) == len(self._shown) and all(
            one is other or one == other for one, other in zip(shown, self._shown, strict=True)
        ):
            return
        self._shown = shown
        self.query_one("#grid-title", Static).update(content_of([(title, "strong")]))
        line = deployment_line(grid, state.key_names)
        self.query_one("#grid-where", Static).update(content_of(line))
        table.show(grid, self._number)
        self.query_one("#grid-cell", LinesPanel).show(about_cell(grid, *place, state.key_names))
        scored = any(result.figures is not None for result in comparison.settings.values())
        answer = answer_lines(grid, contexts, any_scored=scored)
        self.query_one("#grid-answer", LinesPanel).show(answer)
        self.query_one(Scatter).show(total_chart(grid))
        if contexts is None and scored and not comparison.is_active:
            self._compute_contexts(grid)
        self.refresh_bindings()

    @work(exclusive=True, group="contexts")
    async def _compute_contexts(self, grid: Grid) -> None:
        """Choose at other contexts, in a thread, when the keys have come to rest."""
        await asyncio.sleep(_SETTLED_SECONDS)
        found = await asyncio.to_thread(lambda: grid.contexts)
        if found is not None and self._grid is grid:
            self._contexts = grid, found
            self.show()

    # What can be done now

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Detail and inspector need numbers, an export a saved run, a copy a choice."""
        if not self.is_attached:
            return True
        if action == "inspect":
            return True if self.cell.figures is not None else None
        if action == "export":
            comparison = self._owner.state.comparison
            return True if comparison.run is not None and comparison.saved > 0 else None
        if action == "copy":
            return True if self._commands else None
        return True

    def on_key(self, event: Any) -> None:
        """A key that can do nothing now says why."""
        action = refused_action(self, event.key)
        why = {
            "inspect": "This cell has no numbers yet",
            "export": "Nothing is scored that could be exported",
            "copy": "mlx-lm has no command line for the choice, or nothing is chosen yet",
        }
        self._owner.tell(why.get(action or "", ""), "warning")

    @property
    def _commands(self) -> tuple[str, ...]:
        part = self._grid.part
        return () if part is None or self._grid.pick is None else part.commands

    # Where it is to run

    def action_memory(self) -> None:
        """Type the memory."""
        prompt, answered = memory_prompt(self._grid.spec.memory, self._put_memory)
        self.app.push_screen(prompt, answered)

    def _put_memory(self, memory: int | None) -> None:
        self._put(memory=memory)

    def action_step_memory(self, by: int) -> None:
        """The next amount of memory."""
        part = self._grid.part
        most = 0 if part is None else max(cell.total_bytes for cell in part.cells)
        self._put(memory=next_memory(self._grid.spec.memory, by, most))

    def action_context(self) -> None:
        """Type the context."""
        prompt, answered = context_prompt(self._tokens, lambda context: self._put(context=context))
        self.app.push_screen(prompt, answered)

    def action_step_context(self, by: int) -> None:
        """The next context."""
        self._put(context=next_context(self._tokens, by))

    @property
    def _tokens(self) -> int:
        part = self._grid.part
        return self._grid.spec.context or (DEFAULT_CONTEXT if part is None else part.context)

    def action_device(self) -> None:
        """The next device."""
        now = DEVICES.index(self._grid.spec.device)
        self._put(target=DEVICES[(now + 1) % len(DEVICES)])

    def action_parallel(self) -> None:
        """The next number of sequences."""
        now = self._grid.spec.parallel
        self._put(parallel=next((n for n in _SEQUENCES if n > now), _SEQUENCES[0]))

    def _put(self, **values: Any) -> None:
        self._owner.update(put_deployment(self._owner.state, **values))
        self.show()

    # Panels and other screens

    def action_number(self) -> None:
        """Show another number in cells of one line."""
        self._number = _NUMBERS[(_NUMBERS.index(self._number) + 1) % len(_NUMBERS)]
        self.show()

    def action_zoom(self) -> None:
        """Enlarge the panel with the focus, or give it its place back."""
        if self.maximized is not None:
            self.minimize()
        elif self.focused is not None:
            self.maximize(self.focused)

    def action_back(self) -> None:
        """Leave the enlarged panel, or the screen."""
        if self.maximized is not None:
            self.minimize()
        else:
            self.dismiss(None)

    def action_help(self) -> None:
        """Explain the keys and the numbers."""
        self.app.push_screen(HelpScreen(help_keys(self)))

    def on_rows_pressed(self) -> None:
        """Open the detail of the cell."""
        self._open(DetailScreen)

    def action_inspect(self) -> None:
        """Open the text with the KL of every token."""
        self._open(InspectorScreen)

    def _open(self, screen: type[DetailScreen] | type[InspectorScreen]) -> None:
        run, cell = self._owner.state.comparison.run, self.cell
        if run is None or cell.figures is None:
            self._owner.tell("This cell has no numbers yet", "warning")
            return
        cells = (each for row in self._grid.cells for each in row)
        settings = tuple(each.name for each in cells if each.figures is not None)
        so_far: Callable[[], RunSoFar | None] = lambda: run_so_far(self._owner.state, run)  # noqa: E731
        self.app.push_screen(screen(run, cell.name, settings=settings, so_far=so_far))

    def action_export(self) -> None:
        """Offer the formats of the report, for the deployment on the screen."""
        state = self._owner.state
        run = state.comparison.run
        if run is not None:
            picture = self.app.export_screenshot
            spec = state.choices.deployment
            self.app.push_screen(ExportScreen(run, exported_title(state), picture, spec))

    def action_copy(self) -> None:
        """Copy the command lines that run the choice."""
        grid = self._grid
        self.run_worker(self._copy(self._commands, grid.name(grid.pick or "")))

    async def _copy(self, commands: tuple[str, ...], name: str) -> None:
        how = await copy(self.app, "\n".join(commands))
        self._owner.tell(f"{plural(len(commands), 'command')} for {name} · {how}")
