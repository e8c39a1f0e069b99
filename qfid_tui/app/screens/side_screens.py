"""The screens that the workbench opens: each imported when it is first asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from textual.screen import Screen

if TYPE_CHECKING:
    from qfid_tui.app.app import QfidApp
    from qfid_tui.app.run_worker import Ending
    from qfid_tui.app.screens.history import HistoryChoice
    from qfid_tui.state.table_rows import EarlierSetting, TableRow


class OpensScreens(Screen[None]):
    """What the workbench shares with the screens above it."""

    @property
    def qfid(self) -> QfidApp:
        """The app, by its own type."""
        return cast("QfidApp", self.app)

    def looked_at(self) -> TableRow | None:
        """The row that detail and inspector are about."""
        raise NotImplementedError

    def earlier(self) -> list[EarlierSetting]:
        """Settings of earlier runs in the table."""
        raise NotImplementedError

    def history_chosen(self, choice: HistoryChoice | None) -> None:
        """A run was chosen in the history."""
        raise NotImplementedError

    def action_help(self) -> None:
        """Explain the screen and its numbers."""
        from qfid_tui.app.actions import help_keys
        from qfid_tui.app.screens.help import HelpScreen

        self.app.push_screen(HelpScreen(help_keys(self)))

    def _run_and_setting(self) -> tuple[str, str, tuple[str, ...]] | None:
        """Run, setting, and the run's settings that have numbers, of the row looked at."""
        row = self.looked_at()
        if row is None or row.figures is None:
            self.notify("This setting has no numbers yet", severity="warning", markup=False)
            return None
        comparison = self.qfid.comparison
        if row.run:
            same = [other.name for other in self.earlier() if other.run == row.run]
            return row.run, row.name, tuple(same)
        if comparison.run is None:
            return None
        names = [name for name, result in comparison.settings.items() if result.figures]
        return comparison.run, row.name, tuple(names)

    def action_detail(self) -> None:
        """Open the setting's charts and tail."""
        found = self._run_and_setting()
        if found is not None:
            from qfid_tui.app.screens.detail import DetailScreen

            run, setting, settings = found
            self.app.push_screen(DetailScreen(run, setting, settings=settings))

    def action_inspect(self) -> None:
        """Open the text with every token's KL."""
        found = self._run_and_setting()
        if found is not None:
            from qfid_tui.app.screens.inspector import InspectorScreen

            run, setting, settings = found
            self.app.push_screen(InspectorScreen(run, setting, settings=settings))

    def action_export(self) -> None:
        """Write the report to a file."""
        from qfid_tui.app.screens.export import ExportScreen

        comparison = self.qfid.comparison
        row = self.looked_at()
        run = row.run if row is not None and row.run else comparison.run
        if run is None:
            return
        title = f"{self.qfid.choices.model}, {', '.join(comparison.settings)}"
        self.app.push_screen(ExportScreen(run, title, self.app.export_screenshot))

    def action_history(self) -> None:
        """Open the list of earlier runs."""
        from qfid_tui.app.screens.history import HistoryScreen

        self.app.push_screen(HistoryScreen(self.qfid.choices.model), self.history_chosen)

    def show_fault(self, ending: Ending) -> None:
        """Say what happened to a run that failed, and offer to go on."""
        from qfid_tui.app.screens.fault import Fault, FaultScreen

        comparison = self.qfid.comparison
        failure = comparison.failure
        if failure is not None:
            title = "This cannot be scored" if failure.exit_code == 2 else "The run failed"
            message, hint = failure.message, failure.hint
        else:
            title = f"The scorer {ending.words}"
            message = f"The scorer {ending.words} without a report."
            hint = "`qfid doctor` looks at this machine"
            if ending.lacked_memory:
                hint = "if memory ran out: close other programs, or take shorter chunks"
        again = None if failure is not None and failure.exit_code == 2 else comparison.run
        fault = Fault(title, message, hint, ending.log, comparison.saved, again)

        def answered(answer: str | None) -> None:
            if answer == "resume":
                self.call_later(self.run_action, "run")

        self.app.push_screen(FaultScreen(fault), answered)
