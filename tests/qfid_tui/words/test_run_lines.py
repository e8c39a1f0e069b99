"""What the run panel says of the row with the cursor."""

from __future__ import annotations

import dataclasses

import pytest
from cli_saved_runs import chunk_events, chunk_scored, opening, save_run
from workbench_states import scored, workbench

from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import earlier_settings
from qfid_tui.state.workbench import RowCursor, WorkbenchState
from qfid_tui.words.best_setting import told_apart_text
from qfid_tui.words.run_lines import ended_line, run_lines
from scorer.report.from_run import finished_report
from scorer.spec.events import RanksScored
from scorer.spec.settings.registry import parse_setting


def text_at(state: WorkbenchState, name: str, run: str = "") -> str:
    return told_apart_text(state.changed(row_cursor=RowCursor(0, name, run)))


def test_nothing_is_said_before_there_is_a_best_setting_or_of_16_bit() -> None:
    assert text_at(workbench(), "8") == ""
    assert text_at(workbench(comparison=scored()), "") == ""


def test_while_a_run_goes_on_it_says_when_that_is_known() -> None:
    comparison = scored()
    state = workbench(comparison=comparison)
    assert text_at(state, "4") == "4: told apart from 8? not known before it is scored"
    assert text_at(state, "8").startswith("8: the best here, ")
    for chunk in range(2):
        comparison.add(chunk_scored("4", chunk, 0.3))
    state = workbench(comparison=comparison)
    assert "4: told apart from 8? known when the run ends, " in text_at(state, "4")
    comparison.end(by_user=True)
    assert "known when the run is finished, " in text_at(workbench(comparison=comparison), "4")


@pytest.mark.parametrize(("chunks", "words"), [(4, "told apart from"), (1, "no interval against")])
def test_a_report_says_it(chunks: int, words: str) -> None:
    run = save_run(chunks=chunks)
    comparison = Comparison(run.job)
    comparison.take_report(finished_report(run))
    state = workbench(comparison=comparison)
    assert text_at(state, "4").startswith(f"4: {words} 8, Δppl ")


def test_an_earlier_row_is_compared_with_nothing_of_this_run() -> None:
    run = save_run()
    state = workbench(comparison=scored(), earlier=tuple(earlier_settings("demo")))
    assert text_at(state, "4", run.id) == "4: an earlier run, not compared with 8 of this one"


def test_a_run_stopped_within_a_chunk_says_how_far_its_settings_are() -> None:
    run = save_run("8,4", finished=False, chunks=0)
    comparison = Comparison(run.job)
    comparison.begin(run.job)
    for event in [*opening(run), *chunk_events(run, 1), chunk_scored("8", 1, 0.1)]:
        comparison.add(event)
    comparison.stop()
    comparison.end(by_user=True)
    [(said, _)] = ended_line(comparison)
    assert said == "stopped: 1 to 2 of 4 chunks scored and saved"
    comparison.add_chunks(chunk_scored("4", 1, 0.1))
    [(said, _)] = ended_line(comparison)
    assert said == "stopped: 2 of 4 chunks scored and saved"


def test_the_rates_of_ranks_are_said_while_a_run_goes_on() -> None:
    comparison = scored()
    said = RanksScored(["rank 0 (a)", "rank 1 (b)"], [1, 1], [0.5, 0.25], [1, 1], 0.5)
    comparison.add(said)
    lines = [
        "".join(text for text, _ in line) for line in run_lines(workbench(comparison=comparison))
    ]
    assert "ranks: 0 2/s, 1 4/s (settings on chunks)" in lines


@pytest.mark.parametrize(
    ("ticked", "said"), [("6", "adds it to this comparison"), ("w4", "bounds of weights judge")]
)
def test_adding_weights_to_a_run_of_kv_settings_says_what_judges_then(
    ticked: str, said: str
) -> None:
    run = save_run()
    comparison = Comparison(run.job)
    comparison.open(run.id, range(4))
    comparison.add_chunks(*(chunk_scored(s, i, 0.01) for s in ("8", "4") for i in range(4)))
    comparison.take_report(finished_report(run))
    comparison.phase = "finished"
    choices = dataclasses.replace(Choices().of_job(run.job), pairs=False)
    choices = choices.ticking(parse_setting(ticked), True)
    state = workbench(comparison=comparison, choices=choices)
    shown = "\n".join("".join(text for text, _ in line) for line in run_lines(state))
    assert f"r scores {ticked} alone" in shown and said in shown
    assert ("bounds of weights" in shown) == (ticked == "w4")
