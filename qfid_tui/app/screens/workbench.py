"""The workbench: models, settings, the run and its charts on one screen.

The screen wires: what the user does goes to functions of :mod:`qfid_tui.state.workbench_changes`,
what they return goes to the panels. The first frame imports this module: the panels and the state
are imported after it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.worker import get_current_worker

from qfid_tui.app.widgets.title_line import TitleLine
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from textual.widgets import Input

    from qfid_tui.app.run_worker import Ending
    from qfid_tui.app.screens.history import HistoryChoice
    from qfid_tui.app.widgets.model_picker import ModelPicker
    from qfid_tui.app.widgets.options_panel import OptionsPanel
    from qfid_tui.app.widgets.rows import Rows
    from qfid_tui.app.widgets.settings_table import SettingsTable
    from qfid_tui.app.widgets.workbench_body import WorkbenchBody
    from qfid_tui.app.workbench_host import WorkbenchHost
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.workbench import Panel, WorkbenchState
    from qfid_tui.state.workbench_actions import Possible
    from qfid_tui.state.workbench_changes import Outcome, Severity
    from scorer.models.info import ModelInfo
    from scorer.models.listing import Unscorable
    from scorer.models.sizes import ModelSizes
    from scorer.spec.events import Hello

_PAINTS_PER_SECOND = 8
_PAINTS_PER_CHART = 4
_FAILURE_SECONDS = 12

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


class WorkbenchScreen(Screen[None]):
    """Models, settings, run and charts on one screen.

    Attributes:
        is_filled: Whether the panels are mounted.
    """

    ALLOW_IN_MAXIMIZED_VIEW = "#title, #keys"
    DEFAULT_CSS = """
    WorkbenchScreen {
        layout: vertical;
        background: $background;
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

    def __init__(self, host: WorkbenchHost) -> None:
        """Make the screen.

        Args:
            host: The app around it.
        """
        super().__init__()
        self._host = host
        self._state: WorkbenchState | None = None
        self._body: WorkbenchBody | None = None
        self._title = TitleLine(id="title")
        self._possible: object = None
        self._ticks = 0
        self.is_filled = False

    # The first frame, and the panels after it

    def compose(self) -> ComposeResult:
        """The first frame."""
        yield self._title

    def on_mount(self) -> None:
        """Mount the panels after the first frame."""
        self.call_after_refresh(self.mount_panels)

    async def mount_panels(self) -> None:
        """Import and mount the panels."""
        from qfid_tui.app.widgets.key_bar import KeyBar
        from qfid_tui.app.widgets.workbench_body import WorkbenchBody

        self._body = WorkbenchBody(id="body")
        await self.mount(self._body, KeyBar(FOOTER, id="keys"))

    def on_workbench_body_filled(self) -> None:
        """Show the first state; read models and runs, and ask about the device."""
        self.is_filled = True
        names = self._host.take_keys(self.state.choices)
        self.update(self.state.changed(key_names=names))
        self.action_show("models" if self.state.choices.model is None else "settings")
        self._read_models(self.state.choices)
        self.read_earlier()
        self._host.probe_device()
        self.set_interval(1 / _PAINTS_PER_SECOND, self._paint_news)
        self._host.when_filled()

    @property
    def body(self) -> WorkbenchBody:
        """The panels; only after they are mounted."""
        assert self._body is not None
        return self._body

    @property
    def picker(self) -> ModelPicker:
        """The list of models."""
        return self.body.picker

    @property
    def table(self) -> SettingsTable:
        """The table of settings."""
        return self.body.table

    @property
    def filter_field(self) -> Input:
        """The field for part of a model's name."""
        return self.body.filter_field

    # The state

    @property
    def state(self) -> WorkbenchState:
        """What the workbench shows now.

        Textual owns the focus, the cursors, the text being typed and the enlarged panel: they are
        copied whenever the state is read.
        """
        if self._state is None:
            from qfid_tui.state.workbench import WorkbenchState

            self._state = WorkbenchState(self._host.start_choices())
        if self.is_filled:
            self._state = self._state.changed(**self._of_widgets())
        return self._state

    def _of_widgets(self) -> dict[str, object]:
        body, focused, model = self.body, self.focused, self.body.picker.model
        return {
            "focus": "" if focused is None else focused.id or "",
            "enlarged": self.maximized is not None,
            "filter": body.filter_field.value,
            "model_cursor": None if model is None else model.name,
            "row_cursor": body.table.row_cursor,
            "option_cursor": body.options.cursor,
            "tall_rows": body.table.row_height() == 2,
        }

    def update(self, state: WorkbenchState) -> None:
        """Take the next state and show it."""
        if self.maximized is not None and not state.enlarged:
            self.minimize()
        self._state = state
        self.paint()
        self._read_sizes_of_shown()

    def _take(self, outcome: Outcome) -> None:
        """Take the next state and show its notice."""
        self.update(outcome.state)
        self._tell(outcome.notice, outcome.severity)

    def _tell(
        self, text: str, severity: Severity = "information", seconds: float | None = None
    ) -> None:
        if text:
            self.notify(inert(text), severity=severity, markup=False, timeout=seconds)

    # Painting

    def _paint_news(self) -> None:
        """Paint if events have arrived; charts less often."""
        from qfid_tui.state.workbench_changes import comparison_changed

        comparison = self.state.comparison
        self._ticks += 1
        news = comparison_changed(self.state)
        if news is not self.state or comparison.phase == "scoring":
            self._state = news
            self.paint(charts=self._ticks % _PAINTS_PER_CHART == 0 or not comparison.is_active)

    def paint(self, *, charts: bool = True) -> None:
        """Let every panel show the state."""
        if not self.is_filled:
            return
        state = self.state
        for panel in ("models", "options"):
            self.set_class(state.panel == panel, f"-{panel}")
        self.set_class(state.panel != "settings", "-choosing")
        for chart in ("chunks", "depth"):
            self.set_class(state.chart == chart, f"-chart-{chart}")
        for widget in (self._title, *self.body.panels):
            # A list may move its cursor, and the next panels show what it is on.
            widget.show(self.state)
        if charts:
            self.body.charts.show(self.state)
        self.paint_keys()

    def paint_keys(self) -> None:
        """Let the footer follow the keys that work now; they change seldom."""
        from qfid_tui.state.workbench_actions import possible_actions

        possible = self.focused, possible_actions(self.state)
        if possible != self._possible:
            self._possible = possible
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> Possible:
        """Whether a key works now; the footer shows no other."""
        if not self.is_filled:
            return action == "help"
        from qfid_tui.state.workbench_actions import possible_actions

        return possible_actions(self.state).get(action, True)

    def on_resize(self) -> None:
        """Texts fit the width."""
        self.call_after_refresh(self.paint)

    def on_descendant_focus(self) -> None:
        """The footer and the line below the table follow the focus."""
        self.paint(charts=False)

    def on_settings_table_reshaped(self) -> None:
        """The line below the table says what its rows have no room for."""
        self.paint(charts=False)

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """Texts and charts follow the cursor."""
        self.paint(charts=False)
        self.body.charts.show_soon(self.state)
        self._read_sizes_of_shown()

    # What the app tells

    def device_known(self, device: Hello) -> None:
        """The probe has described the device."""
        self.update(self.state.changed(probed=device))

    def run_ended(self, ending: Ending) -> None:
        """The child process has ended."""
        from qfid_tui.state.workbench_changes import comparison_changed

        self.update(comparison_changed(self.state))
        comparison = self.state.comparison
        for name, result in comparison.settings.items():
            if result.failure is not None:
                self._tell(f"setting {name} failed: {result.failure}", "error", _FAILURE_SECONDS)
        if comparison.phase == "failed":
            from qfid_tui.app.screens.side_screens import fault_screen

            self.app.push_screen(fault_screen(comparison, ending), self._fault_left)

    def _fault_left(self, answer: str | None) -> None:
        if answer == "resume":
            self.call_later(self.run_action, "run")

    # What workers read

    # A worker's thread never reads ``self.state``: what it needs is an argument.

    @work(thread=True, group="models", exit_on_error=False)
    def _read_models(self, choices: Choices) -> None:
        """Read the chosen model, then the whole cache; then measure the models new in it."""
        from qfid_tui.state.model_reading import chosen_models, measure_models, read_models

        worker = get_current_worker()
        found, fault = chosen_models(choices)
        self.app.call_from_thread(self.add_models, found, fault)
        guessed = [*found]
        for block in read_models():
            self.app.call_from_thread(self.add_models, block)
            guessed += block
        self.app.call_from_thread(lambda: self.update(self.state.changed(reading=False)))
        for block in measure_models(guessed, lambda: worker.is_cancelled):
            self.app.call_from_thread(self.add_models, block)

    def add_models(self, found: list[ModelInfo | Unscorable], fault: str = "") -> None:
        """Show more models of the cache, and what is wrong with the chosen one."""
        from qfid_tui.state.workbench_changes import models_found

        self._tell(fault, "error", _FAILURE_SECONDS)
        self._take(models_found(self.state, found))

    def _read_sizes_of_shown(self) -> None:
        model = self.state.shown_model
        if model is not None and model not in self.state.sizes and self.is_filled:
            self._read_sizes(model)

    @work(thread=True, group="sizes", exclusive=True, exit_on_error=False)
    def _read_sizes(self, model: ModelInfo) -> None:
        from qfid_tui.state.model_reading import read_sizes

        if not get_current_worker().is_cancelled:
            sizes = read_sizes(model)
            self.app.call_from_thread(self._sizes_read, model, sizes)

    def _sizes_read(self, model: ModelInfo, sizes: ModelSizes | None) -> None:
        from qfid_tui.state.workbench_changes import sizes_read

        self.update(sizes_read(self.state, model, sizes))

    def read_earlier(self) -> None:
        """Read the earlier runs of the chosen model."""
        comparison = self.state.comparison
        self._read_earlier(self.state.choices.model, comparison, comparison.saved > 0)

    @work(thread=True, group="earlier", exclusive=True, exit_on_error=False)
    def _read_earlier(self, model: str | None, comparison: Comparison, is_saved: bool) -> None:
        from qfid_tui.state.earlier_runs import read_earlier
        from qfid_tui.state.workbench_changes import earlier_read

        worker = get_current_worker()
        earlier = read_earlier(model, comparison.run, is_saved=is_saved)

        def show() -> None:
            # Cancelled: a later worker reads what has changed meanwhile.
            if not worker.is_cancelled:
                self.update(earlier_read(self.state, comparison, earlier))

        self.app.call_from_thread(show)

    @work(thread=True, group="open", exclusive=True, exit_on_error=False)
    def open_run(self, run: str, *, resume: bool = False) -> None:
        """Show a saved run.

        Args:
            run: Id of the run.
            resume: Go on with it at once.
        """
        from qfid_tui.state.saved_comparison import open_comparison
        from qfid_tui.state.workbench_changes import error_text
        from scorer.common.errors import QfidError

        try:
            comparison = open_comparison(run)
        except QfidError as error:
            self.app.call_from_thread(self._tell, error_text(error), "error")
            return
        self.app.call_from_thread(self._opened, comparison, resume)

    def _opened(self, comparison: Comparison, resume: bool) -> None:
        from qfid_tui.state.workbench_changes import open_run

        self.update(open_run(self.state, comparison))
        self.read_earlier()
        if resume:
            self.action_run()

    # What the user does in the panels

    def on_input_changed(self) -> None:
        """Filter the models while the user types."""
        self.paint(charts=False)

    def on_input_submitted(self) -> None:
        """Choose the model that the filter has left."""
        self.choose_at_cursor()

    def choose_at_cursor(self) -> None:
        """Choose the model with the cursor, or say why it cannot be scored."""
        from qfid_tui.state.workbench_changes import choose_model

        name = self.state.model_cursor
        if name is None:
            return
        before = self.state.choices.model
        self._take(choose_model(self.state, name))
        chosen = self.state.choices.model
        if chosen != before:
            self.read_earlier()
        if chosen == name:
            self.table.focus()

    def on_rows_pressed(self, message: Rows.Pressed) -> None:
        """The user presses enter on a row, or clicks it twice."""
        row = self.state.row
        if message.rows is self.picker:
            self.choose_at_cursor()
        elif message.rows is self.body.options:
            self._type_option()
        elif row is not None and row.run:
            self.action_detail()
        else:
            self.action_run()

    def on_settings_table_ticked(self, message: SettingsTable.Ticked) -> None:
        """Tick a row, or untick it."""
        from qfid_tui.state.workbench_changes import tick

        self.update(tick(self.state, message.row))

    def on_settings_table_removed(self, message: SettingsTable.Removed) -> None:
        """Remove a row that the user added."""
        from qfid_tui.state.workbench_changes import remove

        self.update(remove(self.state, message.row))

    def on_options_panel_stepped(self, message: OptionsPanel.Stepped) -> None:
        """Choose the option's next value."""
        from qfid_tui.state.workbench_changes import step_option

        self._take(step_option(self.state, message.option, message.by))

    def _type_option(self) -> None:
        """Ask for a value of the option with the cursor; step if no value can be typed."""
        from qfid_tui.app.screens.typed_values import option_prompt
        from qfid_tui.state.workbench_changes import put_option, step_option

        option = self.state.option
        if option.typed is None:
            self._take(step_option(self.state, option, 1))
            return

        def take(value: object) -> None:
            self._take(put_option(self.state, option, value))

        self.app.push_screen(*option_prompt(option, self.state.choices, take))

    # Actions

    def action_show(self, panel: Panel) -> None:
        """Go to a panel; on a narrow screen it takes the place of the others."""
        from qfid_tui.state.workbench_changes import show_panel

        self.update(show_panel(self.state, panel))
        self.query_one(f"#{panel}").focus()

    def action_back(self) -> None:
        """Leave the enlarged panel, the filter or the open panel."""
        from qfid_tui.state.workbench_changes import back

        before = self.state
        self.update(back(before))
        if not before.enlarged:
            (self.picker if before.filtering else self.table).focus()

    def action_filter(self) -> None:
        """Type part of a model's name."""
        from qfid_tui.state.workbench_changes import open_filter

        self.update(open_filter(self.state))
        self.filter_field.focus()

    def action_pick(self, by: int) -> None:
        """Move in the list of models while its filter has the focus."""
        self.picker.action_move(by)

    def action_tick(self) -> None:
        """Tick the row with the cursor, or untick it."""
        self.table.action_tick()

    def action_add(self) -> None:
        """Type a setting."""
        from qfid_tui.app.screens.typed_values import setting_prompt
        from qfid_tui.state.workbench_changes import add_setting

        state = self.state
        geometry = None if state.model is None else state.model.geometry
        self.app.push_screen(
            *setting_prompt(
                state.choices,
                geometry,
                lambda setting: self.update(add_setting(self.state, setting)),
            )
        )

    def action_run(self) -> None:
        """Score what is ticked: start a run, or go on with the one on the screen.

        If no model is chosen, the highlighted one is chosen first.
        """
        from qfid_tui.state.workbench_changes import error_text, run_comparison, with_comparison
        from scorer.common.errors import QfidError

        if self.state.highlighted is not None:
            self.choose_at_cursor()
        if self.state.comparison.is_active:
            return
        try:
            planned, comparison = run_comparison(self.state)
            self._host.score(planned.request(), comparison)
        except QfidError as error:
            self._tell(error_text(error), "warning")
            return
        comparison.begin(planned.job)
        self.update(with_comparison(self.state, comparison))
        self._host.keep_choices()
        self.action_show("settings")

    def action_stop(self) -> None:
        """Ask the run to stop; asked again, end it at once."""
        comparison = self.state.comparison
        at_once = comparison.phase == "stopping"
        if self._host.stop_scoring(at_once=at_once) and not at_once:
            comparison.stop()
        self._paint_news()

    def action_resume(self) -> None:
        """Open the newest unfinished run of the model."""
        if self.state.unfinished is not None:
            self.open_run(self.state.unfinished)

    def action_zoom(self) -> None:
        """Enlarge the panel with the focus, or give it its place back."""
        if self.maximized is not None:
            self.minimize()
        elif self.focused is not None:
            self.maximize(self.focused)
        self.paint_keys()

    def action_flips(self) -> None:
        """Draw strips of KL or of flips."""
        self.update(self.state.changed(show_flips=not self.state.show_flips))

    def action_scale(self) -> None:
        """One scale for all strips, or one for each."""
        self.update(self.state.changed(own_scale=not self.state.own_scale))

    def action_chart(self) -> None:
        """Show the next chart beside the scatter plot, where there is room for two charts."""
        from qfid_tui.state.workbench_changes import next_chart

        self.update(next_chart(self.state))
        # The chart that was hidden has its place after the next refresh.
        self.call_after_refresh(self.paint)

    # Other screens

    def action_help(self) -> None:
        """Explain the screen and its numbers."""
        from qfid_tui.app.actions import help_keys
        from qfid_tui.app.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(help_keys(self)))

    def action_detail(self) -> None:
        """Open the charts and the tail of the setting with the cursor."""
        from qfid_tui.app.screens.side_screens import detail_screen

        self._open(detail_screen(self.state))

    def action_inspect(self) -> None:
        """Open the text with the KL of every token."""
        from qfid_tui.app.screens.side_screens import inspector_screen

        self._open(inspector_screen(self.state))

    def _open(self, screen: Screen[None] | None) -> None:
        if screen is None:
            self._tell("This setting has no numbers yet", "warning")
        else:
            self.app.push_screen(screen)

    def action_export(self) -> None:
        """Write the report to a file."""
        from qfid_tui.app.screens.side_screens import export_screen

        screen = export_screen(self.state, self.app.export_screenshot)
        if screen is not None:
            self.app.push_screen(screen)

    def action_history(self) -> None:
        """Open the list of saved runs."""
        from qfid_tui.app.screens.history import HistoryScreen

        self.app.push_screen(HistoryScreen(self.state.choices.model), self.history_left)

    def history_left(self, choice: HistoryChoice | None) -> None:
        """Open the run that was chosen in the history; read the runs again."""
        from qfid_tui.state.workbench_changes import cannot_open

        if choice is not None:
            refusal = cannot_open(self.state)
            self._tell(refusal)
            if not refusal:
                self.open_run(choice.run, resume=choice.action == "resume")
        self.read_earlier()
