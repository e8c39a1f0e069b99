"""The saved runs as a list that is read in parts, newest first, as far as somebody looks at it."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from qfid_tui.state.reading_pauses import ReadingPauses
from qfid_tui.state.run_results import RunOutcome, read_outcomes
from scorer.runs.listing import newest_first, run_index
from scorer.runs.run_info import RunInfo

# Few enough for one refresh of the screen, also where nothing is known of any run.
_SECONDS = 0.05


class RunList:
    """The runs of a model, or of all models; only their names are known at first.

    Attributes:
        is_folder_empty: Whether no run of any model is saved.
        is_whole: Whether every run has been read.
        infos: The runs read so far, newest first; runs of other models are left out.
    """

    def __init__(self, model: str | None) -> None:
        """List the names. Call it in a thread.

        Args:
            model: The model as jobs name it; None for all models.

        Raises:
            InputError: The folder of runs cannot be read.
        """
        self._model = model
        self._index = run_index(model)
        self._count = len(self._index.names)
        self.is_folder_empty = not self._count and not run_index().names
        self._looks = newest_first(self._index)
        self._is_at_end = False
        self._read = 0
        self.is_whole = False
        self.infos: list[RunInfo] = []

    @property
    def counts(self) -> tuple[int, int]:
        """How many entries of the folder have been read, and how many there are to read."""
        return self._read, self._count

    def read(self, count: int, stopped: Callable[[], bool] = lambda: False) -> list[RunInfo]:
        """Read the next runs, without their results. Call it in a thread, and :meth:`add` the runs.

        Args:
            count: How many runs are read whatever time that takes; more are read where that is
                quick.
            stopped: Asked before each run whether nobody wants them any more.
        """
        end, found, pauses = time.monotonic() + _SECONDS, list[RunInfo](), ReadingPauses()
        while not stopped() and (len(found) < count or time.monotonic() < end):
            run = next(self._looks, None)
            if run is None:
                self._is_at_end = True
                break
            found.append(run.info)
            pauses.rest()
        self._index.save()
        return found

    def add(self, infos: Sequence[RunInfo]) -> list[RunInfo]:
        """Take the runs that were read.

        Args:
            infos: What :meth:`read` gave.

        Returns:
            Those of the model.
        """
        self._read += len(infos)
        self.is_whole = self._is_at_end
        # An unreadable run does not say which model it is of: it belongs to the list of all.
        mine = [info for info in infos if self._model in (None, info.model)]
        self.infos += mine
        return mine

    def outcomes(self, infos: Sequence[RunInfo]) -> list[RunOutcome]:
        """Read the results of runs. Call it in a thread."""
        found = read_outcomes(self._index, (self._index.look(info.id) for info in infos))
        self._index.save()
        return found


def bytes_of_run(folder: Path) -> int:
    """Size of all files of a run, as far as they can be read. Call it in a thread."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(place, name).lstat().st_size
    return total
