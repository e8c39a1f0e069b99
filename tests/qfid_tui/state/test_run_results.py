"""Results of saved runs for lists: read from reports, and kept in the index."""

from __future__ import annotations

import math
from typing import Any

import pytest
from cli_saved_runs import save_run
from indexed_runs import index_lines, use_index, write_index

from qfid_tui.state import run_results
from qfid_tui.state.run_results import (
    RunOutcome,
    outcome_of,
    read_outcomes,
    read_texts,
    results_text,
)
from scorer.runs.listing import newest_first, run_index


@pytest.fixture(autouse=True)
def _indexed(monkeypatch: pytest.MonkeyPatch) -> None:
    use_index(monkeypatch)


def listed() -> tuple[list[RunOutcome], list[RunOutcome]]:
    """The results of all runs as a list has them, and as their reports say them."""
    index = run_index()
    runs = [*newest_first(index)]
    found = read_outcomes(index, runs)
    index.save()
    return found, [outcome_of(run.info) for run in runs]


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    read: list[str] = []

    def counted(info: Any) -> RunOutcome:
        read.append(info.id)
        return outcome_of(info)

    monkeypatch.setattr(run_results, "outcome_of", counted)
    return read


def test_reports_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    save_run("8,4"), save_run("8", finished=False, chunks=1), save_run("4")
    found, reports = listed()
    assert found == reports and [len(one.results) for one in found] == [1, 0, 2]
    assert found[2].best is not None and found[2].best.setting == "8"
    read = count_reads(monkeypatch)
    assert listed()[0] == found and read == []
    index = run_index()
    texts = read_texts(index, newest_first(index))
    digits = [f"{one.results[0].kl_mean:.3g}" if one.results else "" for one in found]
    assert read == [] and texts[1] == "8"
    assert texts[0].startswith(f"4: {digits[0]} ") and texts[2].startswith(f"8: {digits[2]} ")


def test_a_report_that_was_edited_in_its_place_is_read_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = save_run("8")
    (before,), _ = listed()
    path = run.path / "report.json"
    text = path.read_text()
    mean = repr(before.results[0].kl_mean)
    path.write_text(text.replace(mean, mean[::-1].replace(".", "1").replace("e", "1")[:3] + ".5"))
    (after,), (report,) = listed()
    assert after == report != before


def test_a_report_that_cannot_be_read_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = save_run("8")
    path = run.path / "report.json"
    text = path.read_text()
    path.write_text("{")
    assert listed()[0] == [RunOutcome()]
    read = count_reads(monkeypatch)
    assert listed()[0] == [RunOutcome()] and read == [run.id]
    path.write_text(text)
    found, reports = listed()
    assert found == reports != [RunOutcome()]


def test_results_of_other_rules_are_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    run = save_run("8")
    listed()
    monkeypatch.setattr(run_results, "RULES", run_results.RULES + 1)
    read = count_reads(monkeypatch)
    listed()
    assert read == [run.id]


def test_undefined_figures_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    save_run("8")
    nan = RunOutcome((run_results.RunResult("8", math.nan, 0.5, "bad"),))
    with monkeypatch.context() as patch:
        patch.setattr(run_results, "outcome_of", lambda _: nan)
        listed()
    (kept,), _ = listed()
    assert math.isnan(kept.results[0].kl_mean) and kept.best is None


GOOD = ["8", 0.1, 0.1, "good"]
JUNK: tuple[Any, ...] = (
    *(3, "x", {}, [], [2], [2, None, None, 0], [2, 0, [], 0], [2, -1, [GOOD], 0]),
    *([2, True, [GOOD], 0], [2, None, [["8", 1, 0.1, "good"]], 0], [3, None, [GOOD], "x"]),
    *([2, None, [GOOD[:3]], 0], [2, None, ["8888"], 0], [2, None, [None], 0], [2, 1, [[]], 0]),
)


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_results_in_the_index_that_make_no_sense_are_read_again(junk: Any) -> None:
    save_run("8")
    found, _ = listed()
    lines = index_lines()
    (line,) = lines.values()
    assert line[3][0] == run_results.RULES == 2
    line[3] = junk
    write_index(lines)
    assert listed()[0] == found
    index = run_index()
    (run,) = newest_first(index)
    assert run.line is not None
    run.line[3] = junk
    assert read_texts(index, [run]) == [results_text(run.info, found[0].results)]


def test_a_run_of_weights_is_told_in_one_result() -> None:
    settings = ("8", "w8", "w8+8", "w=org/a-model-4bit+8")
    info = save_run("8").info()._replace(settings=settings, failed=())
    best = run_results.RunResult("w=org/a-model-4bit+8", 0.000469, 0.01, "good?")
    results = [run_results.RunResult("w8", 0.1, 0.1, "marginal"), best]
    assert results_text(info, results, best) == "a-model-4bit+8: 0.000469 good?, best of 4"
    assert results_text(info, []) == "4 settings"
    failed = info._replace(failed=("w8",))
    assert results_text(failed, results[1:], best).endswith("best of 4, 1 failed")
    few = info._replace(settings=settings[-1:])
    assert results_text(few, [best], best) == "a-model-4bit+8: 0.000469 good?"
