"""The workbench: models, settings, the run and its charts on one screen.

The screen only wires: keys and messages go to :class:`WorkbenchCommands`, which applies functions
of :mod:`qfid_tui.state.workbench_changes`; the next state goes to the panels, which paint
themselves. The first frame imports this module: panels, commands and state are imported after it.
"""

from __future__ import annotations

from functools import cached_property, partial
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.screen import Screen

from qfid_tui.app.screens.side_actions import SideActions
from qfid_tui.app.screens.workbench_keys import BINDINGS, FOOTER
from qfid_tui.app.widgets.title_line import TitleLine
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from textual.events import Key

    from qfid_tui.app.run_worker import ChildExit
    from qfid_tui.app.screens.history import HistoryChoice
    from qfid_tui.app.screens.side_screens import SideScreens
    from qfid_tui.app.widgets.model_picker import ModelPicker
    from qfid_tui.app.widgets.options_panel import OptionsPanel
    from qfid_tui.app.widgets.rows import Rows
    from qfid_tui.app.widgets.settings_table import SettingsTable
    from qfid_tui.app.widgets.workbench_body import WorkbenchBody
    from qfid_tui.app.workbench_commands import WorkbenchCommands
    from qfid_tui.app.workbench_host import WorkbenchHost
    from qfid_tui.app.workbench_reader import WorkbenchReader
    from qfid_tui.state.workbench import Panel, WorkbenchState
    from qfid_tui.state.workbench_actions import Possible
    from qfid_tui.state.workbench_changes import Outcome, Severity
    from scorer.spec.events import Hello

_PAINTS_PER_SECOND, _PAINTS_PER_CHART = 8, 4
_LOW, _WIDER = 18, 140


class WorkbenchScreen(SideActions, Screen[None]):
    """Models, settings, run and charts on one screen.

    Attributes:
        is_filled: Whether the panels are mounted.
        body: The panels; set when they are mounted, as are the next two.
        reader: Reads models and runs.
        commands: Applies to the state what the user does.
    """

    body: WorkbenchBody
    reader: WorkbenchReader
    commands: WorkbenchCommands

    ALLOW_IN_MAXIMIZED_VIEW = "#title, #keys"
    BINDINGS: ClassVar[list[BindingType]] = BINDINGS
    DEFAULT_CSS = """
    WorkbenchScreen {
        layout: vertical;
        background: $background;
    }
    """

    def __init__(self, host: WorkbenchHost) -> None:
        """Make the screen.

        Args:
            host: The app around it.
        """
        super().__init__()
        self._host = host
        self._state: WorkbenchState | None = None
        self._title = TitleLine(id="title")
        self._ticks, self.is_filled, self._possible = 0, False, object()

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
        from qfid_tui.app.workbench_commands import WorkbenchCommands
        from qfid_tui.app.workbench_reader import WorkbenchReader

        self.reader = WorkbenchReader(self, self)
        self.commands = WorkbenchCommands(self, self._host, self.reader)
        self.body = WorkbenchBody(id="body")
        await self.mount(self.body, KeyBar(FOOTER, id="keys"))

    def on_workbench_body_filled(self) -> None:
        """Show the first state; read models and runs, and ask about the device."""
        self.is_filled = True
        names = self._host.take_keys(self.state.choices)
        self.update(self.state.changed(key_names=names))
        self.action_show("models" if self.state.choices.model is None else "settings")
        self.reader.read_models()
        self.reader.read_earlier()
        self.reader.watch_run()
        self._host.probe_device()
        self.set_interval(1 / _PAINTS_PER_SECOND, self._paint_news)
        self._host.when_filled()

    @property
    def picker(self) -> ModelPicker:
        """The list of models."""
        return self.body.picker

    @property
    def table(self) -> SettingsTable:
        """The table of settings."""
        return self.body.table

    # The state

    @property
    def state(self) -> WorkbenchState:
        """What the workbench shows now; focus, cursors, typed text and zoom are Textual's."""
        if self._state is None:
            from qfid_tui.state.workbench import WorkbenchState

            self._state = WorkbenchState(self._host.start_choices())
        if self.is_filled:
            self._state = self._state.changed(
                enlarged=self.maximized is not None, **self.body.values(self.focused)
            )
        return self._state

    def update(self, state: WorkbenchState) -> None:
        """Take the next state and show it."""
        if self.maximized is not None and not state.enlarged:
            self.minimize()
        self._state = state
        self.paint()
        if self.is_filled:
            self.reader.read_shown()

    def take(self, outcome: Outcome) -> None:
        """Take the next state and show its notice."""
        self.update(outcome.state)
        self.tell(outcome.notice, outcome.severity)

    def tell(self, text: str, severity: Severity = "information", seconds: float = 5.0) -> None:
        """Show a notice for some seconds; nothing for an empty text."""
        if text:
            self.notify(inert(text), severity=severity, markup=False, timeout=seconds)

    def _paint_news(self) -> None:
        """Paint if events have arrived; charts less often."""
        from qfid_tui.state.workbench_changes import comparison_changed

        self._ticks += 1
        before, news = self.state, comparison_changed(self.state)
        comparison = news.comparison
        # The rate and the time left change without an event.
        if news is not before or comparison.phase == "scoring":
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
        self.set_class(self.size.width >= _WIDER, "-wider")
        for chart in ("chunks", "depth"):
            self.set_class(state.chart == chart, f"-chart-{chart}")
        # A list may move its cursor, and the next panels show what it is on.
        for widget in (self._title, *self.body.panels):
            widget.show(self.state)
        if charts:
            self.body.charts.show(self.state)
        self.paint_keys()

    def paint_keys(self) -> None:
        """Let the footer follow the keys that work now; they change seldom."""
        from qfid_tui.state.workbench_actions import possible_actions

        before, self._possible = self._possible, (self.focused, possible_actions(self.state))
        if before != self._possible:
            self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> Possible:
        """Whether a key works now; the footer shows no other."""
        if not self.is_filled:
            return action == "help"
        from qfid_tui.state.workbench_actions import possible_actions

        return possible_actions(self.state).get(action, True)

    def on_resize(self) -> None:
        """Texts fit the width; a low screen shows one panel at a time."""
        self.set_class(self.size.height < _LOW, "-low")
        self.call_after_refresh(self.paint)

    def on_descendant_focus(self) -> None:
        """The footer and the line below the table follow the focus, the filter and the rows."""
        self.paint(charts=False)

    # What rows have no room for stands below; the models are filtered while the user types.
    on_settings_table_reshaped = on_input_changed = on_descendant_focus

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """Texts and charts follow the cursor."""
        self.paint(charts=False)
        self.body.charts.show_soon(self.state)
        self.reader.read_sizes()

    # What the app tells

    def device_known(self, device: Hello) -> None:
        """The probe has described the device."""
        self.update(self.state.changed(probed=device))

    def run_ended(self, ending: ChildExit) -> None:
        """The child process has ended."""
        comparison = self.state.comparison
        is_deleted = self.commands.run_ended()
        if comparison.phase == "failed" and not self.commands.went_on:
            go_on = partial(self.call_later, self.run_action, "run")
            self.side.open_fault(comparison, ending, go_on, is_deleted=is_deleted)

    # What the user does in the panels

    def on_input_submitted(self) -> None:
        """Choose the model that the filter has left."""
        self.choose_at_cursor()

    def choose_at_cursor(self) -> None:
        """Choose the model with the cursor; else say why not, or offer to fetch it."""
        if self.commands.choose_at_cursor():
            self.table.focus()
        else:
            self.side.offer_download(self.reader.read_models)

    def on_rows_pressed(self, message: Rows.Pressed) -> None:
        """The user presses enter on a row, or clicks it twice."""
        if message.rows is self.picker:
            self.choose_at_cursor()
        elif message.rows is self.body.options:
            self.side.ask_option()
        else:
            self.action_detail()

    def on_key(self, event: Key) -> None:
        """A key that can do nothing now says why; keys that something has used do not come here."""
        if self.is_filled:
            self.side.say_why_not(event.key)

    def on_settings_table_ticked(self, message: SettingsTable.Ticked) -> None:
        """Tick a row, or untick it."""
        self.commands.tick(message.row)

    def on_settings_table_removed(self, message: SettingsTable.Removed) -> None:
        """Remove a row that the user added."""
        self.commands.remove(message.row)

    def on_options_panel_stepped(self, message: OptionsPanel.Stepped) -> None:
        """Choose the option's next value."""
        self.commands.step_option(message.option, message.by)

    # Actions

    def action_show(self, panel: Panel) -> None:
        """Go to a panel; on a narrow screen it takes the place of the others."""
        self.commands.show_panel(panel)
        self.query_one(f"#{panel}").focus()
        if panel == "models" and not self.state.reading:
            # The cache may have changed since it was read.
            self.reader.read_models(again=True)

    def action_back(self) -> None:
        """Leave the enlarged panel, the filter or the open panel."""
        enlarged, filtering = self.state.enlarged, self.state.filtering
        self.commands.back()
        if not enlarged:
            (self.picker if filtering else self.table).focus()

    def action_filter(self) -> None:
        """Type part of a model's name."""
        self.commands.open_filter()
        self.body.filter_field.focus()

    def action_pick(self, by: int) -> None:
        """Move in the list of models while its filter has the focus."""
        self.picker.action_move(by)

    def action_sort(self) -> None:
        """Sort the list of models in the next order."""
        self.commands.next_order()

    def action_tick(self) -> None:
        """Tick the row with the cursor, or untick it."""
        self.table.action_tick()

    def action_run(self) -> None:
        """Score what is ticked: start a run, or go on with the one on the screen."""
        self.side.ask_before_run(self._run)

    def _run(self) -> None:
        if self.commands.run():
            self.action_show("settings")

    def action_stop(self) -> None:
        """Ask the run to stop; asked again, end it at once."""
        self.commands.stop()

    def action_more_chunks(self) -> None:
        """Ask how many chunks to add to the run on the screen, and score them."""
        self.side.ask_more_chunks(self.commands.add_chunks)

    def action_resume(self) -> None:
        """Open the newest unfinished run of the model."""
        if self.state.unfinished is not None:
            self.commands.open_run(self.state.unfinished)

    def action_zoom(self) -> None:
        """Enlarge the panel with the focus, or give it its place back."""
        if self.maximized is not None:
            self.minimize()
        elif self.focused is not None:
            self.maximize(self.focused)
        self.paint_keys()

    def action_flips(self) -> None:
        """Draw strips of KL and flips, of KL only, or of flips only."""
        self.commands.next_strips()

    def action_scale(self) -> None:
        """One scale for all strips, or one for each."""
        self.commands.toggle_scale(self.table.strips.has_own_scales)

    def action_chart(self) -> None:
        """Show the next chart beside the scatter plot, where there is room for two charts."""
        self.commands.next_chart()
        # The chart that was hidden has its place after the next refresh.
        self.call_after_refresh(self.paint)

    # Other screens

    @cached_property
    def side(self) -> SideScreens:
        """Opens the screens over this one."""
        from qfid_tui.app.screens.side_screens import SideScreens

        return SideScreens(self, self, self._host.allow_code)

    def action_pairs(self) -> None:
        """Score every pair of weights and KV settings, or each alone."""
        self.commands.toggle_pairs()

    def action_history(self) -> None:
        """Open the list of saved runs."""
        self.side.open_history(self.history_left)

    def history_left(self, choice: HistoryChoice | None) -> None:
        """Open the run that was chosen in the history; read the runs again."""
        if choice is not None:
            then = self.action_run if choice.action == "resume" else lambda: None
            self.commands.open_run(choice.run, then)
        self.reader.read_earlier()
