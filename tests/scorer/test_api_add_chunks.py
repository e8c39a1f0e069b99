"""Chunks are added to a saved run from Python."""

from __future__ import annotations

import pytest
from measured import measure
from tiny_runs import Small

from scorer import resume_run
from scorer.common.errors import InputError
from scorer.runs.listing import find_run, list_runs, newest_unfinished
from scorer.spec.events import ChunkScored, Event

pytestmark = pytest.mark.filterwarnings("ignore::scorer.common.warning_categories.QfidWarning")


def test_a_larger_number_scores_what_is_missing(small: Small) -> None:
    first = measure(small, settings=["8", "4"], max_chunks=2)
    run = first[0].run_id
    events: list[Event] = []
    added = resume_run(run, max_chunks=4, on_event=events.append)
    assert sum(isinstance(event, ChunkScored) for event in events) == 4
    assert [report.n_chunks for report in added] == [4, 4]
    (info,) = list_runs()
    assert info.id == run and info.chunks_planned == 8 and newest_unfinished() is None
    at_once = measure(small, settings=["8", "4"], max_chunks=4)
    assert [report.kl for report in added] == [report.kl for report in at_once]
    # Without a number it is what it has.
    assert [report.n_chunks for report in resume_run(run)] == [4, 4]


def test_a_smaller_number_reports_the_first_chunks(small: Small) -> None:
    few = measure(small, settings=["8"], max_chunks=2)
    run = measure(small, settings=["8"], max_chunks=4)[0].run_id
    events: list[Event] = []
    (report,) = resume_run(run, max_chunks=2, on_event=events.append)
    assert not events and report.n_chunks == 2 and report.run_id == run
    assert report.kl == few[0].kl
    assert [each.n_chunks for each in resume_run(run)] == [4]


def test_a_number_that_scores_nothing_is_refused(small: Small) -> None:
    run = measure(small, settings=["8"], max_chunks=2)[0].run_id
    for number in (0, -1):
        with pytest.raises(InputError, match="chunks score nothing"):
            resume_run(run, max_chunks=number)


def test_all_chunks_are_asked_for_as_on_the_command_line(small: Small) -> None:
    run = measure(small, settings=["8"], max_chunks=2, chunk_length=256)[0].run_id
    (report,) = resume_run(run, max_chunks="all")
    facts = find_run(run).facts
    assert facts.chunks is not None and facts.run is not None
    assert len(facts.chunks) == facts.run.corpus.total_chunks and report.n_chunks > 2
    with pytest.raises(InputError, match="is not a whole number"):
        resume_run(run, max_chunks="some")  # type: ignore[arg-type]
