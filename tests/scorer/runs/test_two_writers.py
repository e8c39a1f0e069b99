"""Two processes on one run folder: one writes, the other is told who; neither spoils the other."""

from __future__ import annotations

import os
import signal

import pytest
from scorer_child import Child
from tiny_runs import Small, cells, failed, finished, numbers, planned, stopped

from scorer.runs.listing import find_run, list_runs
from scorer.score import score
from scorer.spec.events import Event, Loading
from scorer.spec.settings.registry import parse_settings


def test_of_two_children_on_one_run_one_scores_and_the_other_names_it(small: Small) -> None:
    job = small.job("8,4", max_chunks=3)
    run = planned(stopped(job, after=1)).run
    with Child() as one:
        one.send(job, run=run).until("planned")
        # Halted where it holds the lock, so that the other comes while it is at work.
        one.process.send_signal(signal.SIGSTOP)
        with Child() as other:
            refusal = failed(other.send(job, run=run).rest())
            assert other.code() == refusal.exit_code == 2
        assert f"being written by process {one.process.pid} since 20" in refusal.message
        one.process.send_signal(signal.SIGCONT)
        report = finished(one.rest()).report
        assert one.code() == 0
    assert numbers(report) == numbers(finished(small.score("8,4", max_chunks=3)).report)


def test_a_run_grown_while_the_model_was_loaded_keeps_what_it_was_given(small: Small) -> None:
    """Whoever comes late must not write a ``job.json`` that lacks the other's settings."""
    job = small.job("8")
    run = find_run(planned(stopped(job, after=1)).run)
    events: list[Event] = []
    for event in score(small.job("4"), run=run.id):
        events.append(event)
        if isinstance(event, Loading) and event.step == "checking":
            grown = list(score(small.job("2"), run=run.id))
            assert finished(grown).complete
            before = (run.path / "job.json").read_bytes()
    failure = failed(events)
    assert failure.exit_code == 2 and f"just added `2` to run `{run.id}`" in failure.message
    assert (run.path / "job.json").read_bytes() == before and cells(events) == []
    again = list(score(small.job("4"), run=run.id))
    assert planned(again).settings == ["8", "2", "4"] and finished(again).complete


def test_a_list_never_waits_for_a_pipe_in_the_place_of_the_positions(small: Small) -> None:
    run = find_run(planned(stopped(small.job("8"), after=1)).run)
    run.positions_path.unlink()
    os.mkfifo(run.positions_path)
    (info,) = list_runs()
    assert info.chunks_done == 0 and parse_settings("8") == run.job.settings


@pytest.mark.parametrize("name", ["lock", "job.json", "state.json", "report.json"])
def test_a_pipe_in_the_place_of_any_file_blocks_nobody(small: Small, name: str) -> None:
    run = find_run(planned(stopped(small.job("8"), after=1)).run)
    (run.path / name).unlink(missing_ok=True)
    os.mkfifo(run.path / name)
    (info,) = list_runs()
    assert info.state == ("broken" if name == "job.json" else "unfinished")
