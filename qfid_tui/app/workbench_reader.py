"""Reads what the workbench shows from disk: models, sizes of weights, saved runs.

Every read runs in a thread of its own, and its result is given to the owner of the state on the
app's thread. A thread never touches the state: what it needs is an argument.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from textual.screen import Screen
from textual.worker import Worker, get_current_worker

from qfid_tui.app.state_owner import StateOwner
from qfid_tui.state import model_reading
from qfid_tui.state.app_hints import error_text
from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import is_deleted, read_earlier
from qfid_tui.state.saved_comparison import open_comparison
from qfid_tui.state.workbench_changes import (
    earlier_read,
    models_found,
    models_listed,
    open_run,
    sizes_read,
    weights_read,
)
from scorer.common.errors import QfidError
from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable
from scorer.spec.settings.weights import WeightsSource

_FAULT_SECONDS = 12.0
_WATCH_SECONDS = 2.0


class WorkbenchReader:
    """The reading threads of the workbench."""

    def __init__(self, screen: Screen[None], owner: StateOwner) -> None:
        """Make the reader.

        Args:
            screen: The screen that the threads belong to.
            owner: Receives what they read.
        """
        self._screen, self._owner = screen, owner
        self._asked_weights: tuple[Path, frozenset[str]] | None = None

    def read_models(self, *, again: bool = False) -> None:
        """Read the chosen model, then the whole cache; then measure the models new in it.

        Args:
            again: They have been read before: what is wrong with the chosen one has been told.
        """
        read = partial(self._read_models, self._owner.state.choices, again)
        self._start("models", read, exclusive=True)

    def _read_models(self, choices: Choices, again: bool) -> None:
        worker = get_current_worker()
        found, fault = model_reading.chosen_models(choices)
        self._call(self.add_models, found, "" if again else fault)
        guessed = [*found]
        try:
            for block in model_reading.read_models():
                self._call(self.add_models, block)
                guessed += block
        except QfidError as error:
            # The folder of cached models is not known: the built-in model can still be scored.
            self._call(self.add_models, [], error_text(error))
        if worker.is_cancelled:
            return
        shown = self._screen.app.call_from_thread(lambda: self._owner.state.found)
        gone = model_reading.gone_models(shown.values(), guessed)
        self._call(self._models_listed, gone, again)
        for block in model_reading.measure_models(guessed, lambda: worker.is_cancelled):
            self._call(self.add_models, block)

    def _models_listed(self, gone: set[str], again: bool) -> None:
        self._owner.update(models_listed(self._owner.state, gone))
        self.read_weights(again=again)

    def add_models(self, found: list[ModelInfo | Unscorable], fault: str = "") -> None:
        """Show more models of the cache.

        Args:
            found: The models.
            fault: What is wrong with the chosen model, or "".
        """
        self._owner.tell(fault, "error", _FAULT_SECONDS)
        self._owner.take(models_found(self._owner.state, found))

    def read_shown(self) -> None:
        """Read what the state needs and has not: sizes, and weights to compare with."""
        self.read_sizes()
        self.read_weights()

    def read_sizes(self) -> None:
        """Read the sizes of the shown model, unless they are known."""
        state = self._owner.state
        model = state.shown_model
        if model is not None and model not in state.sizes:
            self._start("sizes", partial(self._read_sizes, model), exclusive=True)

    def _read_sizes(self, model: ModelInfo) -> None:
        # A cursor that moves on cancels the threads of the models that it passed.
        if not get_current_worker().is_cancelled:
            sizes = model_reading.read_sizes(model)
            self._call(lambda: self._owner.update(sizes_read(self._owner.state, model, sizes)))

    def read_weights(self, *, again: bool = False) -> None:
        """Read what can be compared with the chosen model, unless that is known.

        Args:
            again: The cache may have changed: look for relatives once more.
        """
        state = self._owner.state
        model = state.model
        if model is None or state.reading:
            return
        typed = state.choices.asked_weights()
        asked = model.path, frozenset(source.key for source in typed)
        if asked == self._asked_weights and not again:
            return
        self._asked_weights = asked
        self._start("weights", partial(self._read_weights, model, typed), exclusive=True)

    def _read_weights(self, model: ModelInfo, typed: tuple[WeightsSource, ...]) -> None:
        worker = get_current_worker()
        offer = model_reading.read_weights(model, typed, lambda: worker.is_cancelled)

        def show() -> None:
            if not worker.is_cancelled:
                self._owner.update(weights_read(self._owner.state, offer))
                self._owner.tell(offer.trouble, "warning")

        self._call(show)

    def read_earlier(self) -> None:
        """Read the earlier runs of the chosen model."""
        state = self._owner.state
        is_saved = state.comparison.saved > 0
        read = partial(self._read_earlier, state.choices.model, state.comparison, is_saved)
        self._start("earlier", read, exclusive=True)

    def _read_earlier(self, model: str | None, comparison: Comparison, is_saved: bool) -> None:
        worker = get_current_worker()
        earlier = read_earlier(
            model, comparison.run, is_saved=is_saved, stopped=lambda: worker.is_cancelled
        )

        def show() -> None:
            # Cancelled: a later thread reads what has changed meanwhile.
            if not worker.is_cancelled:
                self._owner.take(earlier_read(self._owner.state, comparison, earlier))

        self._call(show)

    def watch_run(self) -> None:
        """Notice from now on when another process deletes the run on the screen."""
        self._screen.set_interval(_WATCH_SECONDS, self._look_for_run)

    def _look_for_run(self) -> None:
        comparison = self._owner.state.comparison
        if comparison.run is not None and comparison.saved > 0 and not comparison.is_active:
            self._start("watch", partial(self._read_if_deleted, comparison.run), exclusive=True)

    def _read_if_deleted(self, run: str) -> None:
        if is_deleted(run):
            self._call(self.read_earlier)

    def open_run(self, run: str, then: Callable[[], object], *, keep_ticks: bool = False) -> None:
        """Read a saved run and show it.

        Args:
            run: Id of the run.
            then: Called when the run is shown.
            keep_ticks: Leave the choices as they are where the run can go on with them.
        """
        self._start("open", partial(self._open_run, run, then, keep_ticks), exclusive=True)

    def _open_run(self, run: str, then: Callable[[], object], keep_ticks: bool) -> None:
        worker = get_current_worker()
        try:
            comparison = open_comparison(run)
        except QfidError as error:
            self._call(self._owner.tell, error_text(error), "error")
            return

        def show() -> None:
            # The key may have been pressed twice, or a run may have started meanwhile.
            if worker.is_cancelled or self._owner.state.comparison.is_active:
                return
            self._owner.update(open_run(self._owner.state, comparison, keep_ticks=keep_ticks))
            self.read_earlier()
            then()

        self._call(show)

    def _start(
        self, group: str, read: Callable[[], None], *, exclusive: bool = False
    ) -> Worker[None]:
        return self._screen.run_worker(
            read, thread=True, group=group, exclusive=exclusive, exit_on_error=False
        )

    def _call(self, call: Callable[..., object], *arguments: object) -> None:
        self._screen.app.call_from_thread(call, *arguments)
