"""What the run key would do."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from cli_saved_runs import CHUNKS, recording, report_of, save_run

from qfid_tui.state.choices import Choices, same_conditions
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import read_earlier
from qfid_tui.state.next_run import SavedRun, next_run
from qfid_tui.state.saved_comparison import open_comparison
from scorer.common.errors import QfidError
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.events import Failed
from scorer.spec.job import CorpusSpec
from scorer.spec.settings.registry import parse_settings


def chosen(**changes: Any) -> Choices:
    choices = Choices(
        model="demo", ticked=(8, 4), chunk_length=16, max_chunks=CHUNKS, corpus="wikitext2"
    )
    return dataclasses.replace(choices, **changes)


def finished() -> Comparison:
    run = save_run(job={"chunks": "spread"})
    comparison = Comparison()
    comparison.begin(chosen().job())
    for event in recording(run):
        comparison.add(event)
    return comparison


def test_the_first_run_is_a_new_one() -> None:
    planned = next_run(chosen(), Comparison())
    assert (planned.kind, planned.run, planned.missing) == ("new", None, ("8", "4"))
    assert "run" not in planned.request()


def test_nothing_is_left_of_a_finished_comparison() -> None:
    assert next_run(chosen(), finished()).kind == "nothing"
    assert next_run(chosen(ticked=(8,)), finished()).kind == "nothing"


def test_a_width_ticked_later_is_scored_alone_in_the_same_run() -> None:
    comparison = finished()
    planned = next_run(chosen(ticked=(8, 4, 6)), comparison)
    assert (planned.kind, planned.missing) == ("add", ("6",))
    assert planned.request()["run"] == comparison.run


def test_other_conditions_make_a_new_run() -> None:
    for changes in (
        # More chunks are added to the run that there is.
        {"max_chunks": CHUNKS - 1},
        {"corpus": "/x.txt"},
        {"noise_floor": 4},
        {"chunks": "first"},
    ):
        assert next_run(chosen(**changes), finished()).kind == "new", changes


def test_a_run_that_stops_once_settled_goes_on_with_none_that_does_not() -> None:
    settled = chosen(chunks="random:1", until_settled=True)
    plain = dataclasses.replace(settled, until_settled=False)
    for one, other in ((settled, plain), (plain, settled)):
        same = SavedRun("r", one.job().conditions, ("8", "4"), job=one.job())
        assert one.job().conditions == other.job().conditions
        assert next_run(one, Comparison(), [same]).kind == "reopen"
        assert next_run(other, Comparison(), [same]).kind == "new"
        comparison = finished()
        comparison.job = one.job()
        assert next_run(one, comparison).kind == "nothing"
        assert next_run(other, comparison).kind == "new"


def test_a_stopped_run_and_a_failed_setting_go_on() -> None:
    run = save_run(finished=False, chunks=2, job={"chunks": "spread"})
    comparison = open_comparison(run.id)
    assert comparison.phase == "stopped" and comparison.complete == 2
    planned = next_run(chosen(), comparison)
    assert (planned.kind, planned.run, planned.missing) == ("go_on", run.id, ("8", "4"))
    broken = finished()
    broken.settings["4"].failure = "exact zero"
    assert next_run(chosen(), broken).missing == ("4",)


def test_a_saved_run_opens_with_the_numbers_of_its_report() -> None:
    run = save_run(job={"chunks": "spread"})
    comparison = open_comparison(run.id)
    assert comparison.phase == "finished" and comparison.run == run.id
    for row in report_of(run)["settings"]:
        figures = comparison.figures(row["setting"])
        assert figures is not None and figures.kl_mean == row["kl"]["mean"]
        assert comparison.settings[row["setting"]].kl == pytest.approx(row["kl_mean_per_chunk"])
    assert next_run(chosen(), comparison).kind == "nothing"
    assert next_run(chosen(ticked=(8, 4, 5)), comparison).kind == "add"


def test_a_run_without_a_chunk_opens_empty_and_one_that_is_not_there_is_an_error() -> None:
    run = save_run(finished=False, chunks=0)
    comparison = open_comparison(run.id)
    assert (comparison.phase, comparison.saved) == ("stopped", 0)
    # There is nothing to add to.
    same = Choices().of_job(run.job)
    assert next_run(same, comparison).kind == "go_on"
    with pytest.raises(QfidError):
        open_comparison("nothing")


def test_what_a_saved_run_holds_is_not_scored_anew() -> None:
    run = save_run(job={"chunks": "spread"})
    saved = read_earlier("demo", None, is_saved=False).saved
    assert [(one.id, one.scored) for one in saved] == [(run.id, ("8", "4"))]
    planned = next_run(chosen(ticked=(8, 4, 6), force=True), Comparison(), saved)
    assert (planned.kind, planned.run, planned.missing) == ("reopen", run.id, ("6",))
    assert next_run(chosen(), Comparison(), saved).missing == ()
    assert next_run(chosen(max_chunks=CHUNKS - 1), Comparison(), saved).kind == "new"
    assert next_run(chosen(max_chunks=9), Comparison(), saved).missing == ("8", "4")


def test_the_newest_of_equal_runs_is_continued() -> None:
    conditions = chosen().job().conditions
    saved = [SavedRun(name, conditions, ("8", "4")) for name in ("newer", "older")]
    assert next_run(chosen(), Comparison(), saved).run == "newer"


def test_a_run_that_the_scorer_refused_to_continue_is_not_tried_again() -> None:
    run = save_run(job={"chunks": "spread"})
    comparison = open_comparison(run.id)
    comparison.begin(chosen(ticked=(8, 4, 6)).job())
    comparison.add(Failed("InputError", "scored under other conditions", "", 2, ""))
    comparison.end(by_user=False)
    saved = read_earlier("demo", None, is_saved=False).saved
    assert next_run(chosen(), comparison, saved).kind == "new"


def test_jobs_of_equal_conditions_are_those_that_one_run_can_hold() -> None:
    job = dataclasses.replace(chosen().job(), corpus=CorpusSpec("/a/chats.jsonl"))
    others = {
        "settings": parse_settings("3"),
        "force": True,
        "model": "org/other",
        "corpus": CorpusSpec("builtin" if job.corpus.source != "builtin" else "wikitext2"),
        "revision": "abc",
        "protocol": "llama.cpp",
        "chunk_length": 77,
        "chunks": "first" if job.chunks == "spread" else "spread",
        "max_chunks": 7,
        "kernel": "mlx-lm",
        "control": True,
        "noise_floor": 4,
        "batch": 3,
        "one_at_a_time": True,
        "deployment": DeploymentSpec(context=77),
        "drop_beaten": True,
        "roles": ("assistant",),
        "until_settled": True,
    }
    fields = {field.name for field in dataclasses.fields(job) if field.init}
    assert fields == set(others), "every field of a job is tried"
    job = dataclasses.replace(job, chunks="random:1")
    for name, value in others.items():
        other = dataclasses.replace(job, **{name: value})  # type: ignore[arg-type]
        equal = name in (
            *("settings", "force", "one_at_a_time", "deployment", "drop_beaten"),
            "until_settled",
        )
        assert same_conditions(job, other) is equal
        assert (job.conditions == other.conditions) is equal, name
