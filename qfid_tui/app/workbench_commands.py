"""What the user does in the workbench, applied to its state."""

from __future__ import annotations

from collections.abc import Callable

from qfid_tui.app.state_owner import StateOwner
from qfid_tui.app.workbench_host import WorkbenchHost
from qfid_tui.app.workbench_reader import WorkbenchReader
from qfid_tui.state import workbench_changes as changes
from qfid_tui.state.app_hints import error_text
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import is_deleted
from qfid_tui.state.more_chunks import more_chunks, with_more_chunks
from qfid_tui.state.next_run import NextRun
from qfid_tui.state.run_options import Option
from qfid_tui.state.table_rows import TableRow
from qfid_tui.state.text_turns import open_turns
from qfid_tui.state.texts import TextAtLength, at_turn, named, turn, turns
from qfid_tui.state.workbench import Panel, WorkbenchState
from scorer.common.errors import CustomCodeRefused, QfidError
from scorer.common.interrupts import Interrupts

_FAILURE_SECONDS = 12


class WorkbenchCommands:
    """Changes the state of the workbench, and starts and stops runs."""

    def __init__(self, owner: StateOwner, host: WorkbenchHost, reader: WorkbenchReader) -> None:
        """Make the commands.

        Args:
            owner: The owner of the state.
            host: The app, which runs the scorer.
            reader: Reads earlier runs when another model is chosen.
        """
        self._owner, self._host, self._reader = owner, host, reader
        self._stops = Interrupts()
        self.went_on = False
        """Whether the next text was begun when the last run ended."""

    def choose_at_cursor(self) -> bool:
        """Choose the model with the cursor, or say why it cannot be scored.

        Returns:
            Whether the model with the cursor is the chosen one now.
        """
        before = self._owner.state
        if before.model_cursor is None:
            return False
        self._owner.take(changes.choose_model(before, before.model_cursor))
        chosen = self._owner.state.choices.model
        if chosen != before.choices.model:
            self._reader.read_earlier()
        return chosen == before.model_cursor

    def tick(self, row: TableRow) -> None:
        """Tick a row, or untick it."""
        self._owner.take(changes.tick(self._owner.state, row))

    def toggle_pairs(self) -> None:
        """Score every pair of weights and KV settings that are ticked, or each alone."""
        self._owner.take(changes.toggle_pairs(self._owner.state))

    def remove(self, row: TableRow) -> None:
        """Remove a row that the user added."""
        self._owner.update(changes.remove(self._owner.state, row))

    def step_option(self, option: Option, by: int) -> None:
        """Choose the next or the previous value of an option."""
        self._owner.take(changes.step_option(self._owner.state, option, by))

    def show_panel(self, panel: Panel) -> None:
        """Open a panel."""
        self._owner.update(changes.show_panel(self._owner.state, panel))

    def open_filter(self) -> None:
        """Open the filter of the list of models."""
        self._owner.update(changes.open_filter(self._owner.state))

    def next_order(self) -> None:
        """Sort the list of models in the next order."""
        self._owner.update(changes.next_order(self._owner.state))

    def back(self) -> None:
        """Leave the enlarged panel, the filter or the open panel."""
        self._owner.update(changes.back(self._owner.state))

    def next_chart(self) -> None:
        """Show the next chart beside the scatter plot."""
        self._owner.update(changes.next_chart(self._owner.state))

    def next_strips(self) -> None:
        """Draw strips of KL and flips, of KL only, or of flips only."""
        self._owner.update(changes.next_strips(self._owner.state))

    def toggle_scale(self, is_own: bool) -> None:
        """Give each strip a scale of its own, or all the same.

        Args:
            is_own: Whether each has its own now.
        """
        self._owner.update(self._owner.state.changed(own_scale=not is_own))

    def run(self) -> bool:
        """Score what is ticked: start a run, or go on with the one on the screen or a saved one.

        If the list of models has its cursor on another model, that one is chosen first.

        Returns:
            Whether a run has started.
        """
        if self._owner.state.highlighted is not None:
            self.choose_at_cursor()
        state = self._owner.state
        if state.comparison.is_active:
            return False
        if len(turns(state.choices)) > 1:
            left = open_turns(state)
            if not left:
                joined = state.key_names.get("J", "J")
                self._owner.tell(f"Every text is scored at every length: {joined} joins them")
                return False
            self._take_turn(left[0], tuple(left[1:]))
        return self._run_turn()

    def _take_turn(self, wanted: TextAtLength, queue: tuple[TextAtLength, ...]) -> None:
        """Choose the text and length that are scored now, and those that follow."""
        state = self._owner.state
        self._owner.update(state.changed(choices=at_turn(state.choices, wanted), queue=queue))

    def _next_turn(self) -> bool:
        """Go on with the next text or length, where a run has ended and some wait."""
        state = self._owner.state
        comparison, failure = state.comparison, state.comparison.failure
        if not state.queue or comparison.phase not in ("finished", "failed"):
            return False
        if failure is not None:
            if failure.error == CustomCodeRefused.__name__:
                return False
            said = f"{named(turn(state.choices))} was not scored: {failure.message}"
            self._owner.tell(said, "error", _FAILURE_SECONDS)
        self._take_turn(state.queue[0], state.queue[1:])
        return self._run_turn()

    def _run_turn(self) -> bool:
        """Score what is ticked on the text and length in turn."""
        state = self._owner.state
        try:
            planned, comparison = changes.run_comparison(state)
            if planned.kind == "reopen" and planned.run is not None:
                self._reader.open_run(planned.run, self._go_on, keep_ticks=True)
                return False
            self._host.score(planned.request(), comparison)
        except QfidError as error:
            self._owner.tell(error_text(error, state.key_names), "warning")
            return False
        self._begun(state, planned, comparison)
        return True

    def _begun(self, state: WorkbenchState, planned: NextRun, comparison: Comparison) -> None:
        """Show a run whose child process has been started."""
        comparison.begin(planned.job)
        self._owner.update(changes.with_comparison(state, comparison))
        self._host.keep_choices()

    def add_chunks(self, n: int) -> None:
        """Add chunks to the run on the screen and score them.

        Args:
            n: How many.
        """
        state = self._owner.state
        if more_chunks(state) is None:
            # The run has been deleted or goes on since the user was asked.
            return
        planned, state = with_more_chunks(state, n)
        try:
            self._host.score(planned.request(), state.comparison)
        except QfidError as error:
            self._owner.tell(error_text(error, state.key_names), "warning")
            return
        self._begun(state, planned, state.comparison)

    def _go_on(self) -> None:
        """Score what the run on the screen lacks of what is ticked."""
        planned = self._owner.state.planned
        if not isinstance(planned, QfidError) and planned.kind in ("go_on", "add", "more"):
            self.run()

    def stop(self) -> None:
        """Ask the run to stop; asked again, end it at once.

        A key that repeats within 200 ms is one press.
        """
        comparison = self._owner.state.comparison
        if comparison.phase != "stopping":
            self._stops = Interrupts()
        if self._stops.add() == "same":
            return
        at_once = comparison.phase == "stopping"
        if self._host.stop_scoring(at_once=at_once) and not at_once:
            comparison.stop()
            self._owner.update(changes.comparison_changed(self._owner.state).changed(queue=()))

    def run_ended(self) -> bool:
        """Show how a run has ended; one whose folder was deleted meanwhile leaves the screen.

        Returns:
            Whether the folder was deleted. Of a run that failed only the caller says so.
        """
        self.went_on = False
        self._owner.update(changes.comparison_changed(self._owner.state))
        comparison = self._owner.state.comparison
        for name, result in comparison.settings.items():
            if result.failure is not None:
                text = f"setting {name} failed: {result.failure}"
                self._owner.tell(text, "error", _FAILURE_SECONDS)
        if comparison.run is None or not is_deleted(comparison.run):
            if len(turns(self._owner.state.choices)) > 1:
                self._owner.update(changes.with_pinned_text(self._owner.state))
                self.went_on = self._next_turn()
                if not self.went_on:
                    self._reader.read_earlier()
            return False
        deleted = changes.run_deleted(self._owner.state)
        self._owner.update(deleted.state)
        if comparison.phase != "failed":
            self._owner.tell(deleted.notice, deleted.severity)
        self._reader.read_earlier()
        return True

    def open_run(self, run: str, then: Callable[[], object] = lambda: None) -> None:
        """Show a saved run, unless a run goes on.

        Args:
            run: Id of the run.
            then: Called when the run is shown.
        """
        refusal = changes.cannot_open(self._owner.state)
        self._owner.tell(refusal)
        if not refusal:
            self._reader.open_run(run, then)
