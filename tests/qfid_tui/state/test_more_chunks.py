"""Chunks that can be added to the run on the screen."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from cli_saved_runs import CHUNKS, chunk_scored, recording, save_run
from workbench_states import scored, workbench

from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import read_earlier
from qfid_tui.state.more_chunks import MoreChunks, more_chunks, with_more_chunks
from qfid_tui.state.next_run import NextRun, SavedRun, next_run
from qfid_tui.state.saved_comparison import open_comparison
from qfid_tui.state.workbench import WorkbenchState
from qfid_tui.state.workbench_actions import possible_actions, why_not
from qfid_tui.state.workbench_changes import open_run
from qfid_tui.words.progress import done_text, where_text
from qfid_tui.words.run_lines import run_lines
from scorer.common.errors import InputError
from scorer.spec.events import Planned
from scorer.spec.job import SETTLED_ORDER


def finished(**changes: Any) -> WorkbenchState:
    """A run of all its chunks, on a text of 20."""
    run = save_run("8,4", job={"chunks": "spread"})
    choices = dataclasses.replace(workbench().choices, max_chunks=CHUNKS)
    comparison = Comparison()
    comparison.begin(choices.job())
    for event in recording(run):
        comparison.add(event)
    comparison.text_chunks = 20
    return workbench(
        choices=dataclasses.replace(choices, **changes),
        comparison=comparison,
        version=comparison.version,
    )


def test_as_many_as_the_text_has_can_be_added() -> None:
    assert more_chunks(workbench()) is None
    state = finished()
    assert more_chunks(state) == MoreChunks(CHUNKS, 20 - CHUNKS)
    assert possible_actions(state)["more_chunks"]
    state.comparison.text_chunks = CHUNKS
    assert more_chunks(state) is None
    assert why_not(state, "more_chunks") == "Every chunk of the text is in this run"
    # An older run does not say how many there are: the scorer knows.
    state.comparison.text_chunks = 0
    assert more_chunks(state) == MoreChunks(CHUNKS, None)


def test_a_run_that_stops_once_settled_takes_none() -> None:
    state = finished()
    assert "+ adds chunks" in shown(state)
    job = state.comparison.job
    assert job is not None
    state.comparison.job = dataclasses.replace(job, chunks=SETTLED_ORDER, until_settled=True)
    chosen = state.choices.of_job(state.comparison.job)
    state = state.changed(choices=chosen)
    assert more_chunks(state) is None and not possible_actions(state)["more_chunks"]
    assert why_not(state, "more_chunks").startswith("The run stops once it is settled")
    assert "+ adds chunks" not in shown(state)
    # A larger number of chunks is a run of its own then.
    assert next_run(chosen, state.comparison).kind == "nothing"
    for more in (CHUNKS + 4, None):
        larger = dataclasses.replace(chosen, max_chunks=more)
        assert next_run(larger, state.comparison).kind == "new"
        same = SavedRun("r", state.comparison.job.conditions, ("8", "4"), job=state.comparison.job)
        assert next_run(larger, Comparison(), [same]).kind == "new"


def shown(state: WorkbenchState) -> str:
    return "".join(text for line in run_lines(state) for text, _ in line)


def test_not_while_a_run_goes_on() -> None:
    comparison = scored()
    state = workbench(comparison=comparison, version=comparison.version)
    assert more_chunks(state) is None
    assert why_not(state, "more_chunks").startswith("A run goes on: x stops it")


@pytest.mark.parametrize(
    ("left", "text", "n"),
    [(None, "32", 32), (16, "32", 16), (16, "3", 3), (16, " ALL ", 16), (100, "0100", 100)],
)
def test_numbers_are_capped_by_what_the_text_has(left: int | None, text: str, n: int) -> None:
    assert MoreChunks(4, left).read(text) == n


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "1.5", "\u0663", "9" * 12])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InputError):
        MoreChunks(4, 16).read(text)
    with pytest.raises(InputError, match="not known"):
        MoreChunks(4, None).read("all")


def test_what_a_number_means_is_said() -> None:
    assert MoreChunks(4, 591).default == 32 and MoreChunks(4, 9).default == 9
    assert MoreChunks(4, 591).words(32) == "32 more: 36 of 595 chunks"
    assert MoreChunks(4, 16).words(16) == "16 more: 20 of 20 chunks, all that the text has"
    assert MoreChunks(4, None).words(8) == "8 more: 12 chunks"


def test_the_run_on_the_screen_goes_on_with_all_its_settings() -> None:
    state = finished()
    planned, after = with_more_chunks(state, 3)
    assert planned.run == state.comparison.run
    assert planned.request()["max_chunks"] == after.choices.max_chunks == CHUNKS + 3
    assert planned.job.settings == state.comparison.job.settings  # type: ignore[union-attr]
    # Options that were changed since are another run's.
    _, other = with_more_chunks(finished(chunk_length=32), 3)
    assert other.choices.max_chunks == CHUNKS


def test_a_larger_number_of_chunks_among_the_options_adds_too() -> None:
    state = finished(max_chunks=9)
    planned = next_run(state.choices, state.comparison)
    assert (planned.kind, planned.run) == ("more", state.comparison.run)
    every = dataclasses.replace(state.choices, max_chunks=None)
    assert next_run(every, state.comparison).kind == "more"
    # Fewer are a run of their own, as are other options.
    for fewer in ({"max_chunks": CHUNKS - 1}, {"max_chunks": 9, "chunk_length": 32}):
        other = next_run(dataclasses.replace(state.choices, **fewer), state.comparison)
        assert other.kind == "new"
    # More than the text has are none.
    state.comparison.text_chunks = CHUNKS
    assert next_run(every, state.comparison).kind == "nothing"


def test_progress_is_that_of_what_is_added() -> None:
    state = finished()
    comparison = state.comparison
    planned, _ = with_more_chunks(state, 2)
    before = list(comparison.settings["8"].chunks)
    comparison.begin(planned.job)
    first = comparison.progress.planned
    assert first is None and comparison.progress.added == 0
    old = next(e for e in recording(save_run("8,4")) if isinstance(e, Planned))
    comparison.add(
        dataclasses.replace(
            old,
            run=str(comparison.run),
            chunks=list(range(CHUNKS + 2)),
            done={"8": CHUNKS, "4": CHUNKS},
        )
    )
    progress = comparison.progress
    assert (progress.earlier, progress.added, progress.fraction) == (CHUNKS, 2, 0.0)
    assert where_text(progress) == "added chunk 1 of 2"
    # What was scored stays on the screen, and grows.
    assert list(comparison.settings["8"].chunks) == before
    for name in ("8", "4"):
        comparison.add(chunk_scored(name, CHUNKS, 0.001))
    assert comparison.fraction == 0.5
    assert done_text(progress) == "1 of 2 chunks added and scored"
    assert len(comparison.settings["8"].chunks) == CHUNKS + 1


def test_a_saved_run_that_lacks_chunks_is_opened_and_goes_on() -> None:
    """The run key scores only what is missing, also where no run is on the screen."""
    run = save_run("8,4", job={"chunks": "spread"})
    (saved,) = read_earlier("demo", None, is_saved=False).saved
    assert saved.job == run.job
    choices = dataclasses.replace(workbench().choices, max_chunks=CHUNKS + 5)
    planned = next_run(choices, Comparison(), [saved])
    assert (planned.kind, planned.run) == ("reopen", run.id)
    # Opened with the larger number, which is kept, it goes on.
    state = open_run(workbench(choices=choices), open_comparison(run.id), keep_ticks=True)
    assert state.choices.max_chunks == CHUNKS + 5
    assert isinstance(state.planned, NextRun)
    assert (state.planned.kind, state.planned.run) == ("more", run.id)
    # A run of more settings than are ticked would score more than is asked for.
    fewer = dataclasses.replace(choices, ticked=(8,))
    assert next_run(fewer, Comparison(), [saved]).kind == "new"
    other = dataclasses.replace(choices, chunk_length=32)
    assert next_run(other, Comparison(), [saved]).kind == "new"
