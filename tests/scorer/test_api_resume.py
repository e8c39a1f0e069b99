"""A saved run goes on from Python, with the numbers of one that was never interrupted."""

from __future__ import annotations

import dataclasses

import pytest
from measured import measure
from tiny_runs import Small, stopped

import scorer
from scorer import resume_run
from scorer.child import apart
from scorer.common.errors import InputError
from scorer.device import backend
from scorer.runs.listing import find_run, list_runs
from scorer.runs.run_lock import RunLock
from scorer.spec.events import ChunkScored, Event, Finished, Hello

pytestmark = pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.QfidWarning")


class Enough(Exception):
    """Raised by a callback."""


def interrupted(small: Small) -> str:
    """A run of two settings whose first cell only is scored; its id."""

    def leave(event: Event) -> None:
        if isinstance(event, ChunkScored):
            raise Enough

    with pytest.raises(Enough):
        measure(small, settings=["8", "4"], on_event=leave)
    (listed,) = list_runs()
    assert listed.state == "unfinished"
    return listed.id


def test_what_is_missing_is_scored(small: Small) -> None:
    run = interrupted(small)
    events: list[Event] = []
    reports = resume_run(on_event=events.append)
    assert isinstance(events[0], Hello) and isinstance(events[-1], Finished)
    assert [(report.run_id, report.setting) for report in reports] == [(run, "8"), (run, "4")]
    whole = measure(small, settings=["8", "4"])
    assert [report.kl for report in reports] == [report.kl for report in whole]
    # Nothing is left: its reports are given again, and no model is loaded.
    events.clear()
    again = resume_run(find_run(run).path, on_event=events.append)
    assert [report.to_json() for report in again] == [report.to_json() for report in reports]
    assert events == []


def test_other_conditions_are_refused_with_a_hint_for_python(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = interrupted(small)
    known = dataclasses.replace(backend.start_backend(), blas="Another")
    monkeypatch.setattr(backend, "start_backend", lambda: known)
    with pytest.raises(InputError) as refused:
        resume_run(run)
    assert "under other conditions" in refused.value.message
    assert "accept_changes=True" in refused.value.hint and "--" not in refused.value.hint
    reports = resume_run(run, accept_changes=True)
    assert [report.n_chunks for report in reports] == [2, 2]


def test_runs_that_cannot_go_on(small: Small) -> None:
    with pytest.raises(InputError, match="no run is unfinished"):
        resume_run()
    stopped(small.job("8"), after=1)
    (listed,) = list_runs()
    with RunLock(listed.path), pytest.raises(InputError, match="is being written"):
        resume_run(listed.id)
    with pytest.raises(InputError, match="20990101"):
        resume_run("20990101-000000-nothing")


def test_a_child_scores_it_where_a_call_needs_one(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = interrupted(small)
    monkeypatch.setattr(apart, "needs_child", lambda: True)
    assert [report.run_id for report in resume_run(run)] == [run, run]


def test_it_is_offered_by_the_package() -> None:
    assert scorer.resume_run is resume_run and "resume_run" in scorer.__all__
