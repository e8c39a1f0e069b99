"""The workbench: models, settings, the run and its charts on one screen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, cast

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container, Horizontal, Vertical
from textual.content import Content
from textual.lazy import Lazy
from textual.screen import Screen
from textual.widgets import Static

from scorer.inert import inert

if TYPE_CHECKING:
    from textual.timer import Timer

    from qfid_tui.app import QfidApp
    from qfid_tui.run_worker import Ending
    from qfid_tui.widgets.model_picker import ModelPicker
    from qfid_tui.widgets.rows import Rows
    from qfid_tui.widgets.run_panel import RunPanel
    from qfid_tui.widgets.settings_table import SettingsTable
    from scorer.models import ModelInfo, Unscorable

_PAINTS_PER_SECOND = 8
_FOOTER = (
    "workbench.help",
    "workbench.run",
    "workbench.stop",
    "workbench.tick",
    "app.quit",
)


class WorkbenchScreen(Screen[None]):
    """Models, settings, run and charts on one screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", id="workbench.help", tooltip="Explain the screen"),
        Binding("r", "run", "Run", id="workbench.run", tooltip="Score what is ticked, or go on"),
        Binding("x", "stop", "Stop", id="workbench.stop", tooltip="Stop; what is scored is kept"),
        Binding("m", "show('models')", "Models", id="workbench.models", tooltip="The models"),
        Binding("s", "show('settings')", "Settings", id="workbench.settings", tooltip="Settings"),
        Binding("space", "tick", "Tick", id="workbench.tick", tooltip="Score the setting, or not"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self._models: dict[str, ModelInfo] = {}
        self._timer: Timer | None = None
        self._painted = -1

    @property
    def qfid(self) -> QfidApp:
        """The app, by its own type."""
        return cast("QfidApp", self.app)

    # The frame first, the body after the first paint

    def compose(self) -> ComposeResult:
        """The frame."""
        yield Static(Content(" qfid"), id="title")
        yield Container(Lazy(_Body(id="body")), id="frame")

    def body_mounted(self) -> None:
        """The panels are there: fill them, and find out about models and device."""
        self.paint()
        if self.qfid.choices.model is None:
            self.action_show("models")
        else:
            self._settings.focus()
        self._read_models()
        self.qfid.probe()
        self._timer = self.set_interval(1 / _PAINTS_PER_SECOND, self._tick)

    @property
    def _picker(self) -> ModelPicker:
        from qfid_tui.widgets.model_picker import ModelPicker

        return self.query_one("#models", ModelPicker)

    @property
    def _settings(self) -> SettingsTable:
        from qfid_tui.widgets.settings_table import SettingsTable

        return self.query_one("#settings", SettingsTable)

    @property
    def _panel(self) -> RunPanel:
        from qfid_tui.widgets.run_panel import RunPanel

        return self.query_one("#run", RunPanel)

    # The models

    @work(thread=True, group="models", exit_on_error=False)
    def _read_models(self) -> None:
        from scorer.errors import QfidError
        from scorer.models import DEMO, iter_models, resolve_model

        chosen = self.qfid.choices.model
        for name in dict.fromkeys((DEMO, chosen)):
            if name is None:
                continue
            try:
                found = resolve_model(name, self.qfid.choices.revision if name == chosen else None)
            except QfidError:
                continue
            self.app.call_from_thread(self._models_read, [found])
        for model in iter_models():
            self.app.call_from_thread(self._models_read, [model])
        self.app.call_from_thread(self._picker.finish)

    def _models_read(self, found: Iterable[ModelInfo | Unscorable]) -> None:
        from scorer.models import ModelInfo

        found = list(found)
        self._models.update({m.name: m for m in found if isinstance(m, ModelInfo)})
        self._picker.add(found)
        self._picker.choose(self.qfid.choices.model)
        self.paint()

    @property
    def model(self) -> ModelInfo | None:
        """What is known of the chosen model."""
        name = self.qfid.choices.model
        return None if name is None else self._models.get(name)

    # Painting

    def _tick(self) -> None:
        comparison = self.qfid.comparison
        if comparison.version != self._painted or comparison.is_active:
            self.paint()

    def paint(self) -> None:
        """Show what the model of the comparison holds now."""
        from qfid_tui import workbench_text as words
        from qfid_tui.table_rows import table_rows

        app = self.qfid
        comparison, choices = app.comparison, app.choices
        changed = comparison.version != self._painted
        self._painted = comparison.version
        title = words.title_text(choices, comparison, self._machine, self.size.width)
        self.query_one("#title", Static).update(
            Content.assemble((" qfid ", "bold reverse"), "  ", inert(title))
        )
        geometry = None if self.model is None else self.model.geometry
        self._settings.show(table_rows(choices, comparison, geometry))
        self._paint_about()
        self._paint_run()
        if changed:
            self.refresh_bindings()

    @property
    def _machine(self) -> Any:
        return self.qfid.comparison.machine or self.qfid.machine

    def _paint_about(self) -> None:
        from qfid_tui import workbench_text as words

        self.query_one("#about", Static).update(Content(inert(words.about_row(self._settings.row))))

    def _paint_run(self) -> None:
        from qfid_tui import workbench_text as words

        app = self.qfid
        comparison = app.comparison
        lines: list[words.Line] = []
        if comparison.phase == "idle":
            lines = self._ready_lines()
        elif comparison.is_active:
            lines.append(words.progress_line(comparison))
            if comparison.phase == "stopping":
                lines.append(
                    [
                        ("stopping after this step; ", "text"),
                        ("x", "strong"),
                        (" stops at once", "text"),
                    ]
                )
        else:
            lines.append(words.ended_line(comparison))
        if (best := words.best_line(comparison)) is not None:
            lines.append(best)
        fraction = None
        if comparison.planned_chunks:
            fraction = comparison.progress.fraction
        self._panel.show(words.run_title(comparison), lines, fraction)

    def _ready_lines(self) -> list[list[tuple[str, str]]]:
        from qfid_tui import workbench_text as words
        from qfid_tui.kv_cost import fit_of

        choices, model, machine = self.qfid.choices, self.model, self._machine
        if choices.model is None:
            return [[("choose a model above: arrows, then enter", "text")]]
        fit = None
        if model is not None and machine is not None:
            fit = fit_of(model, machine, chunk_length=choices.chunk_length, batch=choices.batch)
        number = len(choices.ticked_settings())
        what = f"{number} setting{'' if number == 1 else 's'} ticked · "
        return [
            [
                (what, "text"),
                ("r", "strong"),
                (" or ", "text"),
                ("enter", "strong"),
                (" runs", "text"),
            ],
            words.fit_line(fit, machine),
        ]

    # What the user does

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """What can be done now."""
        active = self.qfid.comparison.is_active
        if action == "stop":
            return active
        if action == "run":
            return not active
        return True

    def action_tick(self) -> None:
        """Tick the row with the cursor."""
        self._settings.action_tick()

    def action_run(self) -> None:
        """Score what is ticked."""
        from scorer.errors import QfidError

        app = self.qfid
        try:
            job = app.choices.job()
            app.comparison.begin(job)
            app.start_run(job.to_json())
        except QfidError as error:
            self.notify(f"{error.message}; {error.hint}", severity="warning", markup=False)
        self.paint()

    def action_stop(self) -> None:
        """Stop the run."""
        self.qfid.stop_run()
        self.paint()

    def action_show(self, panel: str) -> None:
        """Go to a panel; where there is little room, it takes the place of others."""
        choosing = panel in ("models", "options")
        self.set_class(choosing, "-choosing")
        for name in ("models", "options"):
            self.set_class(panel == name, f"-{name}")
        self.query_one(f"#{panel}").focus()

    def action_help(self) -> None:
        """Explain the screen."""
        from qfid_tui.actions import help_keys
        from qfid_tui.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(help_keys(self)))

    def run_ended(self, ending: Ending) -> None:
        """The child is gone."""
        self.paint()

    def machine_known(self) -> None:
        """The probe has answered."""
        self.paint()

    def on_rows_pressed(self, message: Rows.Pressed) -> None:
        """Enter or a second click on a row."""
        if message.rows is self._picker:
            self._choose_model()
        elif message.rows is self._settings:
            self.action_run()

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """The line below the table is about the row with the cursor."""
        if message.rows is self._settings:
            self._paint_about()

    def on_settings_table_ticked(self, message: SettingsTable.Ticked) -> None:
        """Tick a row, or not any more."""
        row = message.row
        if row.setting is not None:
            self.qfid.choices.tick(row.setting, not row.ticked)
            self.paint()

    def _choose_model(self) -> None:
        from scorer.models import ModelInfo

        model = self._picker.model
        if isinstance(model, ModelInfo):
            self.qfid.choices.model = model.name
            self._picker.choose(model.name)
            self.action_show("settings")
            self.paint()


class _Body(Container):
    def compose(self) -> ComposeResult:
        from qfid_tui.widgets.key_bar import KeyBar
        from qfid_tui.widgets.model_picker import ModelPicker
        from qfid_tui.widgets.run_panel import RunPanel
        from qfid_tui.widgets.settings_table import SettingsTable

        with Horizontal(id="columns"):
            with Vertical(id="left"):
                yield ModelPicker(id="models")
            with Vertical(id="right"):
                yield SettingsTable(id="settings")
                yield Static(id="about")
                yield RunPanel(id="run")
        yield KeyBar(_FOOTER, "app.palette", id="keys")

    def on_mount(self) -> None:
        screen = self.screen
        assert isinstance(screen, WorkbenchScreen)
        self.call_after_refresh(screen.body_mounted)
