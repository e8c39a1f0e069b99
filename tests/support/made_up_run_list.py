"""A list of runs for the history that no file stands for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from qfid_tui.state import run_list
from qfid_tui.state.run_results import RunOutcome
from scorer.runs.run_index import ListedRun
from scorer.runs.run_info import RunInfo


def made_up_list(
    monkeypatch: pytest.MonkeyPatch,
    infos: Sequence[RunInfo],
    outcome: Callable[[RunInfo], RunOutcome] = lambda _: RunOutcome(),
) -> None:
    """Let the history show these runs.

    Args:
        monkeypatch: Takes it back.
        infos: The runs.
        outcome: Gives the results of one.
    """

    class Index:
        names = tuple(info.id for info in infos)

        def save(self) -> None:
            pass

        def look(self, name: str) -> ListedRun:
            return next(ListedRun(info) for info in infos if info.id == name)

    def outcomes(_: Any, runs: Any) -> list[RunOutcome]:
        return [outcome(run.info) for run in runs]

    monkeypatch.setattr(run_list, "run_index", lambda *_: Index())
    monkeypatch.setattr(run_list, "newest_first", lambda _: iter([ListedRun(i) for i in infos]))
    monkeypatch.setattr(run_list, "read_outcomes", outcomes)
