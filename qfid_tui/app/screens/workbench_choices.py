"""What is chosen in the workbench: the model, settings, options, a run of the history."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual import work
from textual.worker import get_current_worker

from qfid_tui.app.screens.workbench_painting import PaintsWorkbench
from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from textual.widgets import Input

    from qfid_tui.app.screens.history import HistoryChoice
    from qfid_tui.app.widgets.options_panel import OptionsPanel
    from qfid_tui.app.widgets.settings_table import SettingsTable
    from scorer.models.info import ModelInfo
    from scorer.models.listing import Unscorable


class ChoosesWorkbench(PaintsWorkbench):
    """Turns what the user does in the panels into choices."""

    def action_show(self, panel: str) -> None:
        """Go to a panel."""
        raise NotImplementedError

    def action_run(self) -> None:
        """Score what is ticked."""
        raise NotImplementedError

    @property
    def filter_field(self) -> Input:
        """Where part of a model's name is typed."""
        from textual.widgets import Input

        return self.query_one("#filter", Input)

    @work(thread=True, group="models", exit_on_error=False)
    def read_models(self) -> None:
        """Read the model that is chosen, then the whole cache; then measure what is new in it."""
        from qfid_tui.state.model_reading import chosen_models, measure_models, read_models

        choices, worker = self.qfid.choices, get_current_worker()
        found, trouble = chosen_models(choices)
        self.app.call_from_thread(self._models_read, found, trouble)
        guessed = [*found]
        for block in read_models():
            self.app.call_from_thread(self._models_read, block)
            guessed += block
        self.app.call_from_thread(self.picker.finish)
        for block in measure_models(guessed, lambda: worker.is_cancelled):
            self.app.call_from_thread(self._models_read, block)

    def _models_read(self, found: list[ModelInfo | Unscorable], trouble: str = "") -> None:
        from scorer.models.info import ModelInfo

        for model in found:
            if isinstance(model, ModelInfo):
                self._models[model.name] = model
            else:
                self._models.pop(model.name, None)
        self.picker.add(found)
        self.picker.choose(self.qfid.choices.model)
        if trouble:
            self.notify(inert(trouble), severity="error", markup=False, timeout=12)
        self._fit_group()
        self.paint()

    def _fit_group(self) -> None:
        """Take a group size that the model's heads allow, where the chosen one is none."""
        choices = self.qfid.choices
        geometry = None if self.model is None else self.model.geometry
        legal = geometry.legal_groups() if geometry is not None and geometry.exact else ()
        if legal and choices.group_size not in legal:
            choices.group_size = max(
                (g for g in legal if g <= choices.group_size), default=legal[0]
            )
            self.notify(f"Group size {choices.group_size}: the largest this model allows")

    @work(thread=True, group="earlier", exclusive=True, exit_on_error=False)
    def read_earlier(self) -> None:
        """Read the earlier runs of the chosen model for the grey rows.

        A comparison whose run was deleted leaves the screen.
        """
        from qfid_tui.state.earlier_runs import earlier_settings, is_deleted, unfinished_run

        app, worker = self.qfid, get_current_worker()
        model, comparison = app.choices.model, app.comparison
        run = comparison.run
        found = [] if model is None else earlier_settings(model, () if run is None else (run,))
        unfinished = None if model is None else unfinished_run(model)
        deleted = run is not None and comparison.saved > 0 and is_deleted(run)

        def show() -> None:
            # What was read before something else happened is no news.
            if worker.is_cancelled or model != app.choices.model:
                return
            if deleted and comparison is app.comparison and not comparison.is_active:
                app.forget_comparison()
            self._earlier, self.unfinished = found, unfinished
            self.paint()

        app.call_from_thread(show)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        self.picker.set_filter(event.value)

    def on_input_submitted(self) -> None:
        """Choose what the filter left."""
        self.choose_highlighted()

    def close_filter(self) -> None:
        """Show all models again."""
        self.filter_field.value = ""
        self.filter_field.remove_class("-open")

    def choose_highlighted(self) -> None:
        """Choose the model with the cursor, or say why it cannot be scored."""
        from scorer.models.info import ModelInfo

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
                self.notify(f"A run goes on: {app.named('x')} stops it, then choose another model")
                return
            app.choices.model, app.choices.revision = model.name, None
            app.forget_comparison()
            self._earlier, self.unfinished = [], None
            self.read_earlier()
        self.close_filter()
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
        from qfid_tui.state.run_options import step
        from scorer.common.errors import InputError

        geometry = None if self.model is None else self.model.geometry
        try:
            step(self.qfid.choices, message.option, message.by, geometry)
        except InputError as error:
            self.notify(inert(f"{error.message}; {error.hint}"), severity="warning", markup=False)
        self.paint()

    def type_option(self) -> None:
        """Ask for a value of the option with the cursor; take the next where none is typed."""
        from qfid_tui.app.typed_values import option_prompt

        option = self._options.option
        if option.typed is None:
            self._options.action_step(1)
        else:
            self.app.push_screen(*option_prompt(option, self.qfid.choices, self.paint))

    def action_add(self) -> None:
        """Type a setting."""
        from qfid_tui.app.typed_values import setting_prompt

        geometry = None if self.model is None else self.model.geometry
        self.app.push_screen(*setting_prompt(self.qfid.choices, geometry, self.paint))

    def history_chosen(self, choice: HistoryChoice | None) -> None:
        """Open a run from the history, and go on with it where that was asked."""
        if choice is not None:
            if self.qfid.comparison.is_active:
                stop = self.qfid.named("x")
                self.notify(f"A run goes on: {stop} stops it, then open another one")
            else:
                self._open_run(choice.run, choice.action == "resume")
        self.read_earlier()

    def action_resume(self) -> None:
        """Open the newest unfinished run of the model."""
        if self.unfinished is not None:
            self._open_run(self.unfinished, False)

    @work(thread=True, group="open", exclusive=True, exit_on_error=False)
    def _open_run(self, run: str, resume: bool) -> None:
        from qfid_tui.state.saved_comparison import open_comparison
        from scorer.common.errors import QfidError

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
