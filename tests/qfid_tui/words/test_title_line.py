"""The title names the chunks of the run on the screen, or those that are asked for."""

from __future__ import annotations

import dataclasses

import pytest
from workbench_states import scored, workbench

from qfid_tui.state.comparison import Comparison
from qfid_tui.words.title_line import title_text


def run(chunks: int, in_text: int, asked: int | None = 32) -> Comparison:
    comparison = scored()
    assert comparison.job is not None
    comparison.job = dataclasses.replace(comparison.job, max_chunks=asked)
    comparison.planned_chunks, comparison.text_chunks = chunks, in_text
    return comparison


@pytest.mark.parametrize("phase", ["scoring", "stopped", "finished", "failed"])
@pytest.mark.parametrize(
    ("chunks", "in_text", "asked", "shown"),
    [
        (1, 1, 32, "1 chunk of 16 "),
        (3, 3, 32, "all 3 chunks of 16 "),
        (3, 0, 32, "3 chunks of 16, spread"),
        (32, 595, 32, "32 chunks of 16, spread"),
        (595, 595, None, "all 595 chunks of 16 "),
        (0, 0, 32, "32 chunks of 16, spread"),
        (0, 0, None, "all chunks of 16 "),
    ],
)
def test_the_number_is_that_of_the_run(
    phase: str, chunks: int, in_text: int, asked: int | None, shown: str
) -> None:
    comparison = run(chunks, in_text, asked)
    comparison.phase = phase  # type: ignore[assignment]
    assert comparison.job is not None
    state = workbench(comparison=comparison)
    state = state.changed(choices=state.choices.of_job(comparison.job))
    assert shown in f"{title_text(state, 80)} "


def test_other_choices_are_shown_as_asked_for_once_the_run_has_ended() -> None:
    comparison = run(3, 3)
    assert comparison.job is not None
    state = workbench(comparison=comparison)
    choices = dataclasses.replace(state.choices.of_job(comparison.job), max_chunks=8)
    state = state.changed(choices=choices)
    assert "all 3 chunks of 16" in title_text(state, 80)
    comparison.phase = "finished"
    assert "8 chunks of 16, spread" in title_text(state, 80)
    longer = dataclasses.replace(choices, max_chunks=32, chunk_length=1024)
    assert "32 chunks of 1024, spread" in title_text(state.changed(choices=longer), 80)


def test_a_run_that_stopped_once_settled_took_a_part_of_the_text() -> None:
    comparison = run(30, 149, None)
    assert comparison.job is not None
    comparison.phase = "finished"
    comparison.job = dataclasses.replace(comparison.job, chunks="random:1", until_settled=True)
    state = workbench(comparison=comparison)
    state = state.changed(choices=state.choices.of_job(comparison.job))
    assert " 30 chunks of 16, random:1" in title_text(state, 80)
    assert "all" not in title_text(state, 80)


def test_before_any_run_the_choices_are_shown() -> None:
    assert "32 chunks of 16, spread" in title_text(workbench(), 80)
