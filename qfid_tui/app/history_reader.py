"""Reads the saved runs for the history, as far as they are looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from textual.screen import Screen
from textual.worker import Worker

from qfid_tui.state.run_list import RunList
from qfid_tui.state.run_results import RunOutcome
from scorer.common.errors import QfidError
from scorer.runs.run_info import RunInfo

# Runs that are read in one go, and runs whose results are.
_PART, _RESULTS = 20, 8


class ShownRuns(Protocol):
    """What shows the runs."""

    @property
    def lacks_rows(self) -> bool:
        """Whether there are to be more rows, as far as there are runs."""

    @property
    def in_view(self) -> Sequence[RunInfo]:
        """The runs whose results are to be read, the most important first."""

    def show_runs(self) -> None:
        """Show the list anew."""

    def append_runs(self, infos: Sequence[RunInfo]) -> None:
        """Show more runs below the others."""

    def change_runs(self, infos: Sequence[RunInfo]) -> None:
        """Show these runs anew: their results have been read."""


class HistoryReader:
    """Reads in threads of their own; what they find is taken on the app's thread.

    Attributes:
        runs: The list, read in part; None until its ids are known.
        outcomes: Results of the runs that were in view.
        fault: Why there is no list; None where there is one.
    """

    def __init__(self, screen: Screen[Any], shown: ShownRuns) -> None:
        """Make the reader.

        Args:
            screen: The screen that the threads belong to.
            shown: What shows the runs.
        """
        self._screen, self._shown = screen, shown
        self.runs: RunList | None = None
        self.outcomes: dict[RunInfo, RunOutcome] = {}
        self.fault: QfidError | None = None
        self._is_reading_on = self._is_closed = False

    def close(self) -> None:
        """Stop reading: nobody looks at the runs any more."""
        self._is_closed = True

    @property
    def is_at_rest(self) -> bool:
        """Whether everything that is on the screen has been read."""
        return (self.runs is not None or self.fault is not None) and not self._is_reading_on

    def read_anew(self, model: str | None) -> Worker[None]:
        """List the runs anew, and read as many of them as were read before.

        Args:
            model: The model as jobs name it; None for all models.
        """
        return self._screen.run_worker(
            self._read(model), group="read", exclusive=True, exit_on_error=False
        )

    async def _read(self, model: str | None) -> None:
        before = 0 if self.runs is None else self.runs.counts[0]
        try:
            runs = await asyncio.to_thread(RunList, model)
            count = max(before, _PART)
            runs.add(await asyncio.to_thread(runs.read, count, lambda: self._is_closed))
            self.runs, self.fault = runs, None
        except QfidError as error:
            self.runs, self.fault = None, error
        self.show()

    def show(self) -> None:
        """Show the list anew, and read what is missing in it."""
        self._shown.show_runs()
        self.read_on()

    def read_on(self) -> None:
        """Read what has come into view and the runs after it, unless that goes on already."""
        if not self._is_reading_on and self.runs is not None:
            self._is_reading_on = True
            # What is in view is known when the rows have their places.
            self._screen.call_after_refresh(self._start)

    def _start(self) -> None:
        self._screen.run_worker(self._read_on(), group="read_on", exit_on_error=False)

    async def _read_on(self) -> None:
        try:
            while await self._read_part():
                pass
        finally:
            self._is_reading_on = False

    async def _read_part(self) -> bool:
        """Read some of what is missing; False if nothing is."""
        runs = self.runs
        if runs is None or self._is_closed:
            return False
        if not runs.is_whole and self._shown.lacks_rows:
            infos = await asyncio.to_thread(runs.read, _PART, lambda: self._is_closed)
            if runs is self.runs:
                self._shown.append_runs(runs.add(infos))
            return True
        unread = [run for run in self._shown.in_view if run not in self.outcomes][:_RESULTS]
        if unread:
            found = await asyncio.to_thread(runs.outcomes, unread)
            self.outcomes.update(zip(unread, found, strict=True))
            self._shown.change_runs(unread)
        return bool(unread)
