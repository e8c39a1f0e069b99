"""The screens and prompts that open over the workbench. Imported when the first one is opened."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from textual.screen import Screen
from textual.worker import get_current_worker

from qfid_tui.app.actions import help_keys, refused_action
from qfid_tui.app.clipboard import copy
from qfid_tui.app.run_worker import ChildExit
from qfid_tui.app.screens.confirm import ask
from qfid_tui.app.screens.detail import DetailScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.fault import Fault, FaultScreen
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.screens.history import HistoryChoice, HistoryScreen
from qfid_tui.app.screens.inspector import InspectorScreen
from qfid_tui.app.screens.model_download import ModelDownload
from qfid_tui.app.screens.typed_values import (
    more_chunks_prompt,
    option_prompt,
    setting_prompt,
)
from qfid_tui.app.state_owner import StateOwner
from qfid_tui.process.scorer_fault import SCORER_FAULT
from qfid_tui.state.allowed_code import code_question
from qfid_tui.state.app_hints import error_text, in_app
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.more_chunks import more_chunks
from qfid_tui.state.running_elsewhere import RunningElsewhere, running_elsewhere
from qfid_tui.state.text_turns import runs_side_by_side
from qfid_tui.state.texts import turns
from qfid_tui.state.workbench import (
    RunSoFar,
    ShownRun,
    exported_run,
    exported_title,
    lacking,
    run_so_far,
    shown_run,
)
from qfid_tui.state.workbench_actions import no_numbers, possible_actions, why_not
from qfid_tui.state.workbench_changes import add_setting, put_option, step_option
from qfid_tui.words.use_command import copied_text, use_command
from scorer.common.errors import CustomCodeRefused, QfidError
from scorer.spec.job import Job


class SideScreens:
    """Opens screens for the state of the workbench."""

    def __init__(
        self,
        screen: Screen[None],
        owner: StateOwner,
        allow_code: Callable[[str, Mapping[str, str]], None],
    ) -> None:
        """Make the opener.

        Args:
            screen: The screen of the workbench.
            owner: The owner of its state.
            allow_code: Called with a model and its Python files that the user allows to run.
        """
        self._screen, self._owner, self._allow_code = screen, owner, allow_code
        self._download = ModelDownload(screen, owner)

    def _push(self, screen: Screen[Any], callback: Callable[[Any], None] | None = None) -> None:
        self._screen.app.push_screen(screen, callback)

    def open_help(self) -> None:
        """Explain the keys and the numbers of the workbench."""
        self._push(HelpScreen(help_keys(self._screen)))

    def offer_download(self, arrived: Callable[[], object]) -> None:
        """Ask whether to fetch the model with the cursor, if it is only half in the cache.

        Args:
            arrived: Called when it has been fetched.
        """
        repo = lacking(self._owner.state)
        if repo is not None:
            self._download.ask(repo, arrived)

    def open_detail(self) -> None:
        """Open the charts and the tail of the setting with the cursor."""
        shown = self._shown_run()
        if shown is not None:
            so_far = self._so_far(shown.run)
            self._push(
                DetailScreen(shown.run, shown.setting, settings=shown.settings, so_far=so_far)
            )

    def open_grid(self) -> None:
        """Open weights beside KV settings."""
        if not possible_actions(self._owner.state)["grid"]:
            self._owner.tell(why_not(self._owner.state, "grid"), "warning")
            return
        from qfid_tui.app.screens.grid import GridScreen

        self._push(GridScreen(self._owner))

    def open_joined(self) -> None:
        """Set the runs of the texts and lengths that are chosen side by side."""
        state = self._owner.state
        found = runs_side_by_side(state)
        if not found.runs:
            run = state.key_names.get("r", "r")
            self._owner.tell(
                why_not(state, "joined")
                if len(turns(state.choices)) < 2
                else f"None of the texts is scored yet: {run} scores them in turn",
                "warning",
            )
            return
        from qfid_tui.app.screens.joined_runs import JoinedRunsScreen

        self._push(JoinedRunsScreen(found.runs, found.missing))

    def open_inspector(self) -> None:
        """Open the text with the KL of every token under the setting with the cursor."""
        shown = self._shown_run()
        if shown is not None:
            so_far = self._so_far(shown.run)
            self._push(
                InspectorScreen(shown.run, shown.setting, settings=shown.settings, so_far=so_far)
            )

    def _so_far(self, run: str) -> Callable[[], RunSoFar | None]:
        return lambda: run_so_far(self._owner.state, run)

    def _shown_run(self) -> ShownRun | None:
        state = self._owner.state
        # Without numbers of its own the row would open that of the charts.
        shown = shown_run(state) if possible_actions(state)["detail"] else None
        if shown is None:
            self._owner.tell(no_numbers(self._owner.state), "warning")
        return shown

    def say_why_not(self, key: str) -> None:
        """Say why a key of the workbench can do nothing now."""
        action = refused_action(self._screen, key)
        if action is not None:
            self._owner.tell(why_not(self._owner.state, action), "warning")

    def open_export(self) -> None:
        """Offer the formats of the report, if there is a run."""
        state = self._owner.state
        run = exported_run(state)
        if run is not None:
            picture = self._screen.app.export_screenshot
            comparison = state.comparison
            # The memory and context on the screen, as in the grid.
            of_weights = run == comparison.run and comparison.compares_weights
            deployment = state.choices.deployment if of_weights else None
            self._push(ExportScreen(run, exported_title(state), picture, deployment))

    def copy_command(self) -> None:
        """Copy the command line that uses the setting with the cursor, and show it."""
        try:
            command = use_command(self._owner.state)
        except QfidError as error:
            self._owner.tell(error_text(error, self._owner.state.key_names), "warning")
            return
        self._screen.run_worker(self._copy(command))

    async def _copy(self, command: str) -> None:
        how = await copy(self._screen.app, command)
        self._owner.tell(f"{copied_text(command)} · {how}")

    def open_history(self, left: Callable[[HistoryChoice | None], None]) -> None:
        """Open the list of saved runs.

        Args:
            left: Called with the user's choice; None if the user chose no run.
        """
        state = self._owner.state
        self._push(HistoryScreen(state.choices.model, state.comparison.run), left)

    def ask_before_run(self, run: Callable[[], object]) -> None:
        """Run, and ask first where another process is scoring the same.

        Args:
            run: Starts the run.
        """
        job = self._new_job()
        if job is None:
            run()
            return

        def look() -> None:
            worker, other = get_current_worker(), running_elsewhere(job)
            if not worker.is_cancelled:
                self._screen.app.call_from_thread(self._looked, job, other, run)

        self._screen.run_worker(
            look, thread=True, group="elsewhere", exclusive=True, exit_on_error=False
        )

    def _new_job(self) -> Job | None:
        """The job of the run that would start now; None where it would be none of its own."""
        state = self._owner.state
        planned = state.planned
        if state.comparison.is_active or isinstance(planned, QfidError) or planned.kind != "new":
            return None
        return planned.job

    def _looked(self, job: Job, other: RunningElsewhere | None, run: Callable[[], object]) -> None:
        if job != self._new_job():
            # What would run has been changed meanwhile.
            self.ask_before_run(run)
            return
        if other is None:
            run()
            return
        question = f"{other.words[0].upper()}{other.words[1:]}. Score it here too?"
        ask(self._screen.app, question, "score it", "do not", run)

    def open_fault(
        self,
        comparison: Comparison,
        ending: ChildExit,
        resume: Callable[[], object],
        *,
        is_deleted: bool,
    ) -> None:
        """Say what happened to a run that failed; where code may not run, ask whether it may.

        Args:
            comparison: The comparison that the run belongs to.
            ending: How its child process ended.
            resume: Called if the user goes on with the run.
            is_deleted: Whether the folder of the run has been deleted.
        """
        failure = comparison.failure
        if failure is not None and failure.error == CustomCodeRefused.__name__:
            self._ask_code(comparison, failure.details.get("files", {}), resume)
            return

        def left(answer: str | None) -> None:
            if answer == "resume":
                resume()

        names = self._owner.state.key_names
        fault = fault_of(comparison, ending, names, is_deleted=is_deleted)
        self._push(FaultScreen(fault), left)

    def _ask_code(
        self, comparison: Comparison, files: Mapping[str, str], resume: Callable[[], object]
    ) -> None:
        assert comparison.job is not None
        model = comparison.job.model

        def allow() -> None:
            self._allow_code(model, files)
            resume()

        ask(self._screen.app, code_question(model, files), "Run it", "Do not", allow)

    def ask_more_chunks(self, add: Callable[[int], object]) -> None:
        """Ask how many chunks to add to the run on the screen.

        Args:
            add: Adds them.
        """
        more = more_chunks(self._owner.state)
        if more is None:
            self._owner.tell(why_not(self._owner.state, "more_chunks"), "warning")
            return
        self._push(*more_chunks_prompt(more, add))

    def ask_setting(self) -> None:
        """Ask for a setting in notation, and tick it."""
        state, owner = self._owner.state, self._owner
        geometry = None if state.model is None else state.model.geometry
        prompt, answered = setting_prompt(
            state.choices,
            geometry,
            lambda setting: owner.take(add_setting(owner.state, setting)),
        )
        self._push(prompt, answered)

    def ask_option(self) -> None:
        """Ask for a value of the option with the cursor; step if no value can be typed."""
        state, owner = self._owner.state, self._owner
        option = state.option
        if option.typed is None:
            owner.take(step_option(state, option, 1))
            return
        prompt, answered = option_prompt(
            option, state.choices, lambda value: owner.take(put_option(owner.state, option, value))
        )
        self._push(prompt, answered)


def fault_of(
    comparison: Comparison,
    ending: ChildExit,
    names: Mapping[str, str] | None = None,
    *,
    is_deleted: bool = False,
) -> Fault:
    """Describe a run that failed.

    Args:
        comparison: The comparison that the run belongs to.
        ending: How its child process ended.
        names: Default keys to the user's own keys.
        is_deleted: Whether the folder of the run has been deleted.
    """
    failure, again = comparison.failure, comparison.run
    scored = saved = comparison.saved
    if failure is not None:
        is_input = failure.exit_code == 2
        title = "This cannot be scored" if is_input else "The run failed"
        again = None if is_input else failure.run
        message, hint = failure.message, in_app(failure.hint, names)
        if comparison.progress.planned is not None and failure.error != SCORER_FAULT:
            # Counted in the file of the run.
            saved = failure.saved
    else:
        title = f"The scorer {ending.words}"
        message = f"The scorer {ending.words} without a report."
        hint = "`qfid doctor` looks at this machine"
        if ending.lacked_memory:
            hint = "if memory ran out: close other programs, or take shorter chunks"
    if is_deleted:
        saved, again = 0, None
    return Fault(title, message, hint, ending.log, scored, saved, again)
