"""The workbench: models, settings, the run and its charts on one screen."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.lazy import Lazy
from textual.widget import Widget
from textual.widgets import Static

from qfid_tui.screens.side_screens import OpensScreens
from scorer.inert import inert

if TYPE_CHECKING:
    from textual.widgets import Input

    from qfid_tui.run_worker import Ending
    from qfid_tui.screens.history import HistoryChoice
    from qfid_tui.table_rows import EarlierSetting, TableRow
    from qfid_tui.widgets.model_picker import ModelPicker
    from qfid_tui.widgets.options_panel import OptionsPanel
    from qfid_tui.widgets.rows import Rows
    from qfid_tui.widgets.settings_table import SettingsTable
    from scorer.models import ModelInfo, Unscorable

_PAINTS_PER_SECOND = 8
_PAINTS_PER_CHART = 4
_CHARTS = ("chunks", "depth")


class WorkbenchScreen(OpensScreens):
    """Models, settings, run and charts on one screen."""

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
        Binding("slash", "filter", "Filter", id="workbench.filter", tooltip="Filter the models"),
        Binding("z", "zoom", "Zoom", id="workbench.zoom", tooltip="Enlarge the panel, or not"),
        Binding("f", "flips", "Flips", id="workbench.strips", tooltip="Strips of KL or of flips"),
        Binding(
            "w", "scale", "Scale", id="workbench.scale", tooltip="One scale for all strips, or not"
        ),
        Binding("c", "chart", "Chart", id="workbench.chart", tooltip="The next chart"),
        Binding("escape", "back", "Back", show=False, id="workbench.back", tooltip="Settings"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._models: dict[str, ModelInfo] = {}
        self._earlier: list[EarlierSetting] = []
        self._rows: list[TableRow] = []
        self._painted = -1
        self._ticks = 0
        self.is_filled = False

    # The frame first, the body after the first paint

    def compose(self) -> ComposeResult:
        """The frame."""
        yield Static(Content(" qfid"), id="title")
        yield Container(Lazy(_Later(id="later")), id="frame")

    def body_mounted(self) -> None:
        """The panels are there: fill them, and find out about models and device."""
        self.is_filled = True
        self._show_chart("chunks")
        self.paint()
        self.action_show("models" if self.qfid.choices.model is None else "settings")
        self._read_models()
        self.read_earlier()
        self.qfid.probe()
        self.set_interval(1 / _PAINTS_PER_SECOND, self._tick)

    @property
    def picker(self) -> ModelPicker:
        """The list of models."""
        from qfid_tui.widgets.model_picker import ModelPicker

        return self.query_one("#models", ModelPicker)

    @property
    def table(self) -> SettingsTable:
        """The table of settings."""
        from qfid_tui.widgets.settings_table import SettingsTable

        return self.query_one("#settings", SettingsTable)

    @property
    def _options(self) -> OptionsPanel:
        from qfid_tui.widgets.options_panel import OptionsPanel

        return self.query_one("#options", OptionsPanel)

    @property
    def _filter(self) -> Input:
        from textual.widgets import Input

        return self.query_one("#filter", Input)

    # Models, earlier runs, device

    @work(thread=True, group="models", exit_on_error=False)
    def _read_models(self) -> None:
        from qfid_tui.model_reading import chosen_models, read_models

        choices = self.qfid.choices
        found, trouble = chosen_models(choices)
        self.app.call_from_thread(self._models_read, found, trouble)
        for block in read_models():
            self.app.call_from_thread(self._models_read, block)
        self.app.call_from_thread(self.picker.finish)

    def _models_read(self, found: list[ModelInfo | Unscorable], trouble: str = "") -> None:
        from scorer.models import ModelInfo

        self._models.update({m.name: m for m in found if isinstance(m, ModelInfo)})
        self.picker.add(found)
        self.picker.choose(self.qfid.choices.model)
        if trouble:
            self.notify(inert(trouble), severity="error", markup=False, timeout=12)
        self._fit_group()
        self.paint()

    @property
    def model(self) -> ModelInfo | None:
        """What is known of the chosen model."""
        return self._models.get(self.qfid.choices.model or "")

    def _fit_group(self) -> None:
        """Take a group size that the model's heads allow, where the chosen one is none."""
        choices = self.qfid.choices
        legal = () if self.model is None else self.model.geometry.legal_groups()
        if legal and choices.group_size not in legal:
            choices.group_size = max(
                (g for g in legal if g <= choices.group_size), default=legal[0]
            )
            self.notify(f"Group size {choices.group_size}: the largest this model allows")

    @work(thread=True, group="earlier", exclusive=True, exit_on_error=False)
    def read_earlier(self) -> None:
        """Read the earlier runs of the chosen model for the grey rows."""
        from qfid_tui.earlier_runs import earlier_settings

        app = self.qfid
        model, run = app.choices.model, app.comparison.run
        found = [] if model is None else earlier_settings(model, () if run is None else (run,))

        def show() -> None:
            if model == app.choices.model:
                self._earlier = found
                self.paint()

        app.call_from_thread(show)

    def machine_known(self) -> None:
        """The probe has answered."""
        self.paint()

    def run_ended(self, ending: Ending) -> None:
        """The child is gone: show how it ended."""
        self.paint()
        comparison = self.qfid.comparison
        for name, result in comparison.settings.items():
            if result.failure is not None:
                text = f"setting {name} failed: {result.failure}"
                self.notify(inert(text), severity="error", markup=False, timeout=12)
        if comparison.phase == "failed":
            self.show_fault(ending)

    # Painting

    def _tick(self) -> None:
        comparison = self.qfid.comparison
        self._ticks += 1
        if comparison.version != self._painted or comparison.phase == "scoring":
            self.paint(charts=self._ticks % _PAINTS_PER_CHART == 0 or not comparison.is_active)

    def paint(self, *, charts: bool = True) -> None:
        """Show what is chosen and scored now."""
        from qfid_tui import workbench_text as words
        from qfid_tui.table_rows import table_rows

        if not self.is_filled:
            return
        app = self.qfid
        comparison, choices = app.comparison, app.choices
        changed, self._painted = comparison.version != self._painted, comparison.version
        title = words.title_text(choices, comparison, app.device, self.size.width)
        self.query_one("#title", Static).update(
            Content.assemble((" qfid ", "bold reverse"), "  ", inert(title))
        )
        geometry = None if self.model is None else self.model.geometry
        self._rows = table_rows(choices, comparison, geometry, self._earlier)
        self.table.show(self._rows)
        self._options.show(choices)
        self._paint_about()
        self._paint_run()
        if charts:
            self._paint_charts()
        if changed:
            self.refresh_bindings()

    def _paint_about(self) -> None:
        from qfid_tui import workbench_text as words

        if self.focused is self._options:
            text = self._options.option.explained
        else:
            text = words.about_row(self.table.row)
        self.query_one("#about", Static).update(Content(inert(text)))

    def _paint_run(self) -> None:
        from qfid_tui import workbench_text as words
        from qfid_tui.widgets.run_panel import RunPanel

        comparison = self.qfid.comparison
        lines = words.run_lines(self.qfid.choices, comparison, self.model, self.qfid.device)
        fraction = comparison.fraction if comparison.is_active else None
        self.query_one("#run", RunPanel).show(words.run_title(comparison), lines, fraction)

    def _paint_charts(self) -> None:
        from qfid_tui import chart_points
        from qfid_tui.widgets.chunk_chart import ChunkChart
        from qfid_tui.widgets.depth_chart import DepthChart
        from qfid_tui.widgets.scatter import Scatter

        comparison = self.qfid.comparison
        row = self.looked_at()
        name = "" if row is None else row.name
        scatter = self.query_one("#scatter", Scatter)
        chunks = self.query_one("#chunks", ChunkChart)
        depth = self.query_one("#depth", DepthChart)
        if scatter.display:
            scatter.show(chart_points.scatter_points(self._rows))
        if chunks.display:
            chunks.show(name, chart_points.chunk_points(comparison, row))
        if depth.display:
            depth.show(name, chart_points.depth_spans(comparison, row))

    def looked_at(self) -> TableRow | None:
        """The row that charts, detail and inspector are about."""
        from qfid_tui.chart_points import chart_row

        return chart_row(self._rows, self.table.row)

    def earlier(self) -> list[EarlierSetting]:
        """Settings of earlier runs in the table."""
        return self._earlier

    # What can be done now

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be pressed now; the footer shows nothing else."""
        comparison = self.qfid.comparison
        if action == "stop":
            return comparison.is_active
        if action == "run":
            return not comparison.is_active
        if not self.is_filled:
            return action == "help"
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

    # What the user does

    def on_descendant_focus(self) -> None:
        """The footer and the line below the table follow the focus."""
        if self.is_filled:
            self._paint_about()
            self.refresh_bindings()

    def on_rows_pressed(self, message: Rows.Pressed) -> None:
        """Enter or a second click on a row."""
        if message.rows is self.picker:
            self._choose_model()
        elif message.rows is self._options:
            self._type_option()
        elif self.table.row is not None and self.table.row.run:
            self.action_detail()
        else:
            self.action_run()

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """What is said and drawn of a row follows the cursor."""
        self._paint_about()
        if message.rows is self.table:
            self._paint_charts()
            self.refresh_bindings()

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
        elif self._filter.has_class("-open"):
            self._filter.value = ""
            self._filter.remove_class("-open")
            self.picker.focus()
        else:
            self.action_show("settings")

    def action_filter(self) -> None:
        """Type part of a model's name."""
        self.action_show("models")
        self._filter.add_class("-open")
        self._filter.focus()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        self.picker.set_filter(event.value)

    def on_input_submitted(self) -> None:
        """From the filter to what it left."""
        self.picker.focus()

    def _choose_model(self) -> None:
        from scorer.models import ModelInfo

        model = self.picker.model
        if isinstance(model, ModelInfo):
            self.choose(model)
        elif model is not None:
            text = f"{model.name} cannot be scored: {model.reason}"
            self.notify(inert(text), severity="warning", markup=False)

    def choose(self, model: ModelInfo) -> None:
        """Choose a model; a comparison of another one leaves the screen, saved as it is."""
        app = self.qfid
        if app.choices.model != model.name:
            if app.comparison.is_active:
                self.notify("A run goes on: x stops it, then choose another model")
                return
            app.choices.model, app.choices.revision = model.name, None
            app.forget_comparison()
            self._earlier = []
            self.read_earlier()
        self.picker.choose(model.name)
        self._fit_group()
        self.action_show("settings")
        self.paint()

    def on_settings_table_ticked(self, message: SettingsTable.Ticked) -> None:
        """Tick a row, or not any more."""
        if message.row.setting is not None:
            self.qfid.choices.tick(message.row.setting, not message.row.ticked)
            self.paint()

    def on_settings_table_removed(self, message: SettingsTable.Removed) -> None:
        """Take away a row that was added."""
        setting = message.row.setting
        if setting is not None and self.qfid.choices.remove(setting):
            self.paint()

    def on_options_panel_stepped(self, message: OptionsPanel.Stepped) -> None:
        """Take the option's next value."""
        from qfid_tui.run_options import step
        from scorer.errors import InputError

        geometry = None if self.model is None else self.model.geometry
        try:
            step(self.qfid.choices, message.option, message.by, geometry)
        except InputError as error:
            self.notify(inert(f"{error.message}; {error.hint}"), severity="warning", markup=False)
        self.paint()

    def _type_option(self) -> None:
        from qfid_tui.typed_values import option_prompt

        option = self._options.option
        if option.typed is None:
            self._options.action_step(1)
        else:
            self.app.push_screen(*option_prompt(option, self.qfid.choices, self.paint))

    def action_add(self) -> None:
        """Type a setting."""
        from qfid_tui.typed_values import setting_prompt

        geometry = None if self.model is None else self.model.geometry
        self.app.push_screen(*setting_prompt(self.qfid.choices, geometry, self.paint))

    def action_tick(self) -> None:
        """Tick the row with the cursor."""
        self.table.action_tick()

    def action_run(self) -> None:
        """Score what is ticked: anew, or what the run on the screen still lacks."""
        from scorer.errors import QfidError

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
        self._paint_charts()

    def _show_chart(self, shown: str) -> None:
        for name in _CHARTS:
            self.set_class(name == shown, f"-chart-{name}")

    def history_chosen(self, choice: HistoryChoice | None) -> None:
        """Open a run from the history, and go on with it where that was asked."""
        if choice is not None:
            if self.qfid.comparison.is_active:
                self.notify("A run goes on: x stops it, then open another one")
            else:
                self._open_run(choice.run, choice.action == "resume")
        self.read_earlier()

    @work(thread=True, group="open", exclusive=True, exit_on_error=False)
    def _open_run(self, run: str, resume: bool) -> None:
        from qfid_tui.saved_comparison import open_comparison
        from scorer.errors import QfidError

        try:
            comparison = open_comparison(run)
        except QfidError as error:
            text = inert(f"{error.message}; {error.hint}")
            self.app.call_from_thread(self.notify, text, severity="error", markup=False)
            return

        def show() -> None:
            self.qfid.take_comparison(comparison)
            self.picker.choose(self.qfid.choices.model)
            self.read_earlier()
            self.paint()
            if resume:
                self.action_run()

        self.app.call_from_thread(show)


class _Later(Widget):
    """Imports the panels when it is mounted, which is after the first paint."""

    def compose(self) -> ComposeResult:
        from qfid_tui.screens.workbench_body import WorkbenchBody

        yield WorkbenchBody(id="body")
