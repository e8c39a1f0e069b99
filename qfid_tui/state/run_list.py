"""The saved runs as a list that is read in parts, newest first, as far as somebody looks at it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from scorer.runs.listing import run_ids, run_infos
from scorer.runs.run_info import RunInfo


class RunList:
    """The runs of a model, or of all models; only their ids are known at first.

    Attributes:
        is_folder_empty: Whether no run of any model is saved.
        infos: The runs read so far, newest first; runs of other models are left out.
    """

    def __init__(self, model: str | None) -> None:
        """List the ids. Call it in a thread.

        Args:
            model: The model as jobs name it; None for all models.

        Raises:
            InputError: The folder of runs cannot be read.
        """
        self._model = model
        self._ids = run_ids(model)
        self.is_folder_empty = not self._ids and not run_ids()
        self._read = 0
        self.infos: list[RunInfo] = []

    @property
    def is_whole(self) -> bool:
        """Whether every run has been read."""
        return self._read == len(self._ids)

    @property
    def counts(self) -> tuple[int, int]:
        """How many entries of the folder have been read, and how many there are to read."""
        return self._read, len(self._ids)

    def next_ids(self, count: int) -> Sequence[str]:
        """Ids of the next runs to read."""
        return self._ids[self._read : self._read + count]

    def add(self, ids: Sequence[str], infos: Iterable[RunInfo]) -> list[RunInfo]:
        """Take the runs that were read.

        Args:
            ids: What :meth:`next_ids` gave.
            infos: What :func:`read_infos` gave for it.

        Returns:
            Those of the model.
        """
        self._read += len(ids)
        # An unreadable run does not say which model it is of: it belongs to the list of all.
        mine = [info for info in infos if self._model in (None, info.model)]
        self.infos += mine
        return mine


def read_infos(ids: Sequence[str]) -> list[RunInfo]:
    """Read runs, newest first, without their results. Call it in a thread."""
    return run_infos(ids)


def bytes_of_run(folder: Path) -> int:
    """Size of all files of a run, as far as they can be read. Call it in a thread."""
    total = 0
    for place, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(OSError):
                total += Path(place, name).lstat().st_size
    return total
