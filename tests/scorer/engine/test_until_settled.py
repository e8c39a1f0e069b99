"""A run that stops once every setting is settled: where it stops, and that nothing moves that."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tiny_runs import Small, cells, failed, finished, numbers, planned, resumed, stopped

from scorer.common.errors import InputError
from scorer.engine import preparation as prepare
from scorer.engine.looks import looks_of
from scorer.report.formats.csv_export import to_csv
from scorer.report.formats.html import to_html
from scorer.report.formats.markdown import to_markdown
from scorer.report.formats.model_card import to_model_card
from scorer.report.from_run import finished_report
from scorer.report.passages import Passages
from scorer.report.tree import Report
from scorer.runs.listing import find_run
from scorer.runs.resuming import job_to_resume, nothing_is_left
from scorer.score import score
from scorer.spec.events import Event, Looked
from scorer.spec.job import Job
from scorer.stats import stopping

SETTINGS = "6:32,2:32"


@pytest.fixture(autouse=True, scope="module")
def early() -> Iterator[None]:
    """Looks at 6 chunks and later, because a tiny text has few."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stopping, "FIRST_LOOK", 6)
        yield


@pytest.fixture(scope="module")
def whole(small: Small, early: None, tmp_path_factory: pytest.TempPathFactory) -> list[Event]:
    """The events of a run that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QFID_DATA_DIR", str(tmp_path_factory.mktemp("whole")))
        return list(score(job_of(small)))


def job_of(small: Small, settings: str = SETTINGS, **changes: Any) -> Job:
    values = {"chunks": "random:3", "until_settled": True, "max_chunks": 14}
    return small.job(settings, **{**values, **changes})


def looked(events: list[Event]) -> list[Looked]:
    return [event for event in events if isinstance(event, Looked)]


def test_all_settings_stop_together_at_the_look_that_settles_the_last(small: Small) -> None:
    events = list(score(job_of(small)))
    plan, looks, end = planned(events), looked(events), finished(events)
    assert plan.looks == [6, 9, 13, 14]
    assert [look.look for look in looks] == list(range(1, len(looks) + 1))
    assert [look.stops for look in looks] == [False] * (len(looks) - 1) + [True]
    chunks = plan.looks[len(looks) - 1]
    assert 6 < chunks < 14, "some look is not the first, and not the last"
    assert cells(events) == [(s, c) for c in plan.chunks[:chunks] for s in plan.settings]
    assert end.complete and end.report["run"]["complete"] is True
    part = Report.from_json(end.report).stopping
    assert part is not None and part.stopped and part.look == len(looks)
    assert (part.n_chunks, part.most_chunks, part.order) == (chunks, 14, "random:3")
    assert part.unit == "chunk" and part.label == "these passages only"
    assert {s.setting: s.standing for s in part.settings} == looks[-1].standings
    # Nothing of the run is left to score.
    run = find_run(plan.run)
    assert run.finished and nothing_is_left(run)
    assert run.info().chunks_done == run.info().chunks_planned == 2 * chunks
    again = resumed(job_of(small), plan.run)
    assert cells(again) == []
    assert numbers(finished(again).report) == numbers(end.report)
    stored = finished_report(run)
    assert json.dumps(stored.to_json()) == json.dumps(finished(again).report)


def test_intervals_are_those_of_the_look_and_no_others(whole: list[Event]) -> None:
    report = Report.from_json(finished(whole).report)
    part = report.stopping
    assert part is not None
    for row in report.settings:
        found, numbers_ = part.of(row.setting), row.numbers
        assert found is not None and numbers_ is not None
        ends = numbers_.intervals
        assert ends.simultaneous
        assert (ends.kl_mean, ends.kl_p99, ends.flip_rate) == (
            found.kl_mean,
            found.kl_p99,
            found.flip_rate,
        )
        assert ends.perplexity_delta is ends.ln_perplexity_ratio is None
    assert part.confidence == stopping.look_confidence(2, 4)


@pytest.mark.parametrize(
    "after",
    [
        pytest.param(after, marks=[] if after in (11, 13) else pytest.mark.slow)
        for after in (1, 11, 12, 13, 17)
    ],
)
def test_a_killed_run_goes_on_to_the_same_stop(
    small: Small, whole: list[Event], after: int
) -> None:
    """Before, at and behind a look: it goes on to the same looks, with the same bits."""
    job = job_of(small)
    events = stopped(job, after)
    assert not finished(events).complete
    rest = resumed(job, planned(events).run)
    assert finished(rest).complete
    assert numbers(finished(rest).report) == numbers(finished(whole).report)
    assert looked(rest)[-1].stops


def test_settings_that_are_added_join_at_the_look_where_the_others_are(small: Small) -> None:
    events = list(score(job_of(small)))
    before = finished(events).report["stopping"]
    both = resumed(job_of(small, f"{SETTINGS},4:32"), planned(events).run)
    part = finished(both).report["stopping"]
    assert looked(both)[0].look == before["look"]
    assert part["look"] >= before["look"] and len(part["settings"]) == 3
    assert part["confidence"] > before["confidence"], "one more setting shares the 5 %"
    counts = {row["n_chunks"] for row in finished(both).report["settings"]}
    assert counts == {part["n_chunks"]}


def test_looks_are_at_whole_batches(small: Small) -> None:
    events = list(score(job_of(small, batch=4)))
    assert planned(events).looks == [8, 12, 14]
    assert len({chunk for _, chunk in cells(events)}) == looked(events)[-1].chunks


def test_several_threads_stop_where_one_does(small: Small, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = []
    for workers in (1, 2):
        monkeypatch.setattr(prepare, "worker_count", lambda device, count=workers: count)
        events = list(score(job_of(small)))
        counts.append((numbers(finished(events).report), [e.to_json() for e in looked(events)]))
    assert counts[0] == counts[1]


def test_all_chunks_without_that_are_not_settled(small: Small) -> None:
    """Three chunks are too few units for any interval."""
    report = finished(list(score(job_of(small, max_chunks=3)))).report
    assert report["stopping"]["looks"] == [3] and not report["stopping"]["stopped"]
    assert [s["standing"] for s in report["stopping"]["settings"]] == ["not settled"] * 2
    assert report["run"]["complete"] is True
    lacks = [
        [lack["why"] for lack in row["verdict_without_interval"]] for row in report["settings"]
    ]
    assert lacks == [["few units"] * 3] * 2
    assert "**Not settled: all 3 chunks are scored (look 1 of 1).**" in to_markdown(
        Report.from_json(report)
    )


def test_before_the_first_look_nothing_is_said(small: Small) -> None:
    report = Report.from_json(finished(stopped(job_of(small), after=4)).report)
    assert report.stopping is not None and report.stopping.look == 0
    said = to_markdown(report)
    assert "**Not settled yet: the first of 4 looks is at 6 of 14 chunks.**" in said
    assert "the run has not looked yet" in said


def test_at_the_last_look_it_is_not_said_that_all_chunks_were_needed(whole: list[Event]) -> None:
    report = Report.from_json(finished(whole).report)
    assert report.stopping is not None
    part = dataclasses.replace(report.stopping, look=4, n_chunks=14, stopped=True)
    said = to_markdown(dataclasses.replace(report, stopping=part))
    assert "**Settled at the last look: all 14 chunks are scored (look 4 of 4).**" in said


def test_every_format_says_that_the_run_was_stopped(whole: list[Event]) -> None:
    report = Report.from_json(finished(whole).report)
    part = report.stopping
    assert part is not None
    needed = (
        f"Stopped once settled: {part.n_chunks} of 14 chunks were needed (look {part.look} of 4)"
    )
    for said in (
        to_markdown(report),
        to_html(report, Passages()),
        to_model_card(report),
    ):
        assert needed in said
        assert "95 % interval" not in said and "simultaneous" in said
        assert "settled worse" in said
    lines = to_csv(report).splitlines()
    assert lines[0].endswith("standing,stopped,look,looks,look_chunks,most_chunks")
    assert lines[1].endswith(f"True,{part.look},4,{part.n_chunks},14")
    assert "--chunks random:3" in report.run.command and "--until-settled" in report.run.command


def test_weights_that_take_turns_cannot_stop_together() -> None:
    job = SimpleNamespace(until_settled=True)
    with pytest.raises(InputError, match="take turns in memory cannot stop together"):
        looks_of(SimpleNamespace(job=job, in_turns=True), SimpleNamespace())  # type: ignore[arg-type]


def test_only_a_random_order_may_begin_to_stop_by_what_it_sees(small: Small) -> None:
    run = find_run(planned(small.score("2:32", max_chunks=6)).run)
    with pytest.raises(InputError, match="takes its chunks in the order `first`"):
        job_to_resume(run, accept_changes=False, force=False, until_settled=True)
    run = find_run(planned(small.score("2:32", max_chunks=9, chunks="random:3")).run)
    job = job_to_resume(run, accept_changes=False, force=False, until_settled=True)
    again = resumed(job, run.id)
    assert cells(again) == [] and finished(again).report["stopping"]["stopped"] is True


@pytest.mark.slow
def test_a_noise_floor_is_taken_into_account(small: Small) -> None:
    events = list(score(job_of(small, "8:32", max_chunks=6, noise_floor=4)))
    assert finished(events).report["settings"][0]["noise_floors"]["repeats"] == 4
    assert looked(events)[-1].standings == {"8:32": "not settled"}


def test_a_new_job_in_another_order_is_refused(small: Small) -> None:
    with pytest.raises(InputError, match="random order"):
        job_of(small, chunks="spread")
    events = list(score(job_of(small, chunks="random:4"), run="nothing"))
    assert failed(events).exit_code == 2
