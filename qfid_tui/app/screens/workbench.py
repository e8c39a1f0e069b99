"""The workbench: models, settings, the run and its charts on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from qfid_tui.app.screens.workbench_choices import ChoosesWorkbench
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from qfid_tui.app.widgets.rows import Rows

_PAINTS_PER_SECOND = 8
_CHARTS = ("chunks", "depth")


FOOTER = (
    "workbench.help",
    "filter.choose",
    "filter.leave",
    "workbench.back",
    "models.choose",
    "options.more",
    "options.type",
    "workbench.run",
    "workbench.stop",
    "workbench.tick",
    "workbench.detail",
    "workbench.inspect",
    "workbench.export",
    "app.quit",
    "workbench.models",
    "workbench.options",
    "workbench.add",
    "workbench.history",
    "workbench.zoom",
    "workbench.strips",
)
"""Ids of the bindings that the footer shows, as many as fit, the most important first."""


class WorkbenchScreen(ChoosesWorkbench):
    """Models, settings, run and charts on one screen."""

    ALLOW_IN_MAXIMIZED_VIEW = "#title, #keys"
    DEFAULT_CSS = """
    WorkbenchScreen {
        layout: vertical;
        background: $background;
        #title {
            dock: top;
            height: 1;
            background: $panel;
            text-wrap: nowrap;
            text-overflow: ellipsis;
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", id="workbench.help", tooltip="Keys and numbers"),
        Binding("r", "run", "Run", id="workbench.run", tooltip="Score what is ticked, or go on"),
        Binding("x", "stop", "Stop", id="workbench.stop", tooltip="Stop; what is scored is kept"),
        Binding("space", "tick", "Tick", id="workbench.tick", tooltip="Score the setting, or not"),
        Binding("d", "detail", "Detail", id="workbench.detail", tooltip="One setting in charts"),
        Binding(
            "i", "inspect", "Inspect", id="workbench.inspect", tooltip="The text, token by token"
        ),
        Binding("e", "export", "Export", id="workbench.export", tooltip="Write the report"),
        Binding("m", "show('models')", "Models", id="workbench.models", tooltip="Choose a model"),
        Binding(
            "o", "show('options')", "Options", id="workbench.options", tooltip="Text, chunks, group"
        ),
        Binding(
            "s", "show('settings')", "Settings", id="workbench.settings", tooltip="The settings"
        ),
        Binding("a", "add", "Add", id="workbench.add", tooltip="Add a setting such as k8v4"),
        Binding(
            "t", "history", "History", id="workbench.history", tooltip="Earlier runs of the model"
        ),
        Binding(
            "u", "resume", "Unfinished", id="workbench.resume", tooltip="Open the unfinished run"
        ),
        Binding("slash", "filter", "Filter", id="workbench.filter", tooltip="Filter the models"),
        Binding("z", "zoom", "Zoom", id="workbench.zoom", tooltip="Enlarge the panel, or not"),
        Binding("f", "flips", "Flips", id="workbench.strips", tooltip="Strips of KL or of flips"),
        Binding(
            "w", "scale", "Scale", id="workbench.scale", tooltip="One scale for all strips, or not"
        ),
        Binding("c", "chart", "Chart", id="workbench.chart", tooltip="The next chart"),
        Binding("escape", "back", "Back", show=False, id="workbench.back", tooltip="Settings"),
    ]

    # The title first, all else after the first paint

    def compose(self) -> ComposeResult:
        """The first frame."""
        yield Static(Content(" qfid"), id="title")

    def on_mount(self) -> None:
        """Import and mount the panels once the first frame is painted."""
        self.call_after_refresh(self._mount_panels)

    async def _mount_panels(self) -> None:
        from qfid_tui.app.screens.workbench_body import WorkbenchBody
        from qfid_tui.app.widgets.key_bar import KeyBar

        await self.mount(WorkbenchBody(id="body"), KeyBar(FOOTER, id="keys"))

    def body_mounted(self) -> None:
        """The panels are there: fill them, and find out about models and device."""
        self.is_filled = True
        self.qfid.take_keys()
        self._show_chart("chunks")
        self.paint()
        self.action_show("models" if self.qfid.choices.model is None else "settings")
        self.read_models()
        self.read_earlier()
        self.qfid.probe()
        self.set_interval(1 / _PAINTS_PER_SECOND, self.paint_news)
        self.qfid.when_filled()

    def on_resize(self) -> None:
        """What is said fits the width."""
        self.call_after_refresh(self.paint)

    # What can be done now

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be pressed now; the footer shows nothing else."""
        if not self.is_filled:
            return action == "help"
        comparison = self.qfid.comparison
        if action == "stop":
            return comparison.is_active
        if action == "run":
            return False if comparison.is_active else self._can_run()
        if action == "resume":
            return self.unfinished is not None and comparison.phase == "idle"
        if action == "back":
            return self.maximized is not None or self.has_class("-choosing")
        if action == "tick":
            return self.focused is self.table
        if action in ("detail", "inspect"):
            row = self.table.row
            return row is not None and row.figures is not None
        if action == "export":
            row = self.table.row
            return bool(row is not None and row.run) or (
                comparison.run is not None and comparison.saved > 0
            )
        return True

    def _can_run(self) -> bool | None:
        from qfid_tui.state.next_run import next_run
        from scorer.common.errors import InputError

        try:
            planned = next_run(self.qfid.choices, self.qfid.comparison)
        except InputError:
            # Pressing it says what is missing.
            return True
        return None if planned.kind == "nothing" else True

    # What the user does

    def on_descendant_focus(self) -> None:
        """The footer and the line below the table follow the focus."""
        if self.is_filled:
            self.paint_about()
            self.paint_keys()

    def on_rows_pressed(self, message: Rows.Pressed) -> None:
        """Enter or a second click on a row."""
        if message.rows is self.picker:
            self.choose_highlighted()
        elif message.rows is self._options:
            self.type_option()
        elif self.table.row is not None and self.table.row.run:
            self.action_detail()
        else:
            self.action_run()

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """What is said and drawn of a row follows the cursor."""
        self.paint_about()
        if message.rows is self.picker and self.qfid.choices.model is None:
            self.paint()
        if message.rows is self.table:
            self.paint_charts_soon()
            self.paint_keys()

    def on_settings_table_reshaped(self) -> None:
        """What the rows have no line for is said below the table."""
        self.paint_about()

    def action_show(self, panel: str) -> None:
        """Go to a panel; where there is little room, it takes the place of others."""
        self.set_class(panel in ("models", "options"), "-choosing")
        for name in ("models", "options"):
            self.set_class(panel == name, f"-{name}")
        if self.maximized is not None:
            self.minimize()
        self.query_one(f"#{panel}").focus()

    def action_back(self) -> None:
        """Leave the filter, the enlarged panel or the choice; else nothing."""
        if self.maximized is not None:
            self.minimize()
        elif self.filter_field.has_class("-open"):
            self.close_filter()
            self.picker.focus()
        else:
            self.action_show("settings")
        self.paint_keys()

    def action_filter(self) -> None:
        """Type part of a model's name."""
        self.action_show("models")
        self.filter_field.add_class("-open")
        self.filter_field.focus()

    def action_pick(self, by: int) -> None:
        """Move in the list of models while its filter is typed."""
        self.picker.action_move(by)

    def action_tick(self) -> None:
        """Tick the row with the cursor."""
        self.table.action_tick()

    def action_run(self) -> None:
        """Score what is ticked: anew, or what the run on the screen still lacks.

        Where no model is chosen yet, with the one under the cursor.
        """
        from scorer.common.errors import QfidError

        if self.highlighted is not None:
            self.choose(self.highlighted)
        try:
            self.qfid.run_next()
        except QfidError as error:
            self.notify(inert(f"{error.message}; {error.hint}"), severity="warning", markup=False)
        if self.qfid.comparison.is_active:
            self.action_show("settings")
        self.paint()

    def action_stop(self) -> None:
        """Stop the run."""
        self.qfid.stop_run()
        self.paint()

    def action_zoom(self) -> None:
        """Enlarge the panel with the focus, or give it its place back."""
        if self.maximized is not None:
            self.minimize()
        elif self.focused is not None:
            self.maximize(self.focused)
        self.paint_keys()

    def action_flips(self) -> None:
        """Draw the strips of KL or of flips."""
        self.table.show_flips = not self.table.show_flips
        self.paint()

    def action_scale(self) -> None:
        """One scale for all strips, or one for each."""
        self.table.own_scale = not self.table.own_scale
        self.paint()

    def action_chart(self) -> None:
        """Where there is room for two charts, let the other one stand beside the scatter."""
        shown = next((name for name in _CHARTS if self.has_class(f"-chart-{name}")), _CHARTS[0])
        self._show_chart(_CHARTS[(_CHARTS.index(shown) + 1) % len(_CHARTS)])
        self.paint_charts()

    def _show_chart(self, shown: str) -> None:
        for name in _CHARTS:
            self.set_class(name == shown, f"-chart-{name}")
