"""Chunks are added to a saved run: only these are scored, with the bits of one larger run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from tiny_runs import Small, cells, failed, finished, numbers, planned, resumed, stopped

from scorer.report.from_run import finished_report
from scorer.report.tree import Report
from scorer.runs.chunk_plan import asked_chunks
from scorer.runs.identity import identity_hash
from scorer.runs.listing import Run, find_run, newest_unfinished
from scorer.spec.events import Warned
from scorer.spec.job import Job
from scorer.spec.settings.registry import parse_settings

SETTINGS = "8,4~dequantized,k8v4@9"
FEW, MANY = 3, 7


def more(job: Job, n: int | None = MANY, **changes: Any) -> Job:
    return dataclasses.replace(job, max_chunks=n, **changes)


def stored_bits(run: str) -> dict[tuple[str, int], tuple[bytes, ...]]:
    """Every stored scalar of every cell, as bytes."""
    return {
        (name, int(p.chunk[0])): tuple(
            getattr(p, field.name).tobytes() for field in dataclasses.fields(p)
        )
        for name, chunks in find_run(run).read().items()
        for p, _ in chunks
    }


def report_values(report: Report) -> Any:
    return numbers(json.loads(json.dumps(report.to_json())))


AtOnce = tuple[dict[tuple[str, int], tuple[bytes, ...]], Any, tuple[int, ...] | None]
_at_once: dict[Job, AtOnce] = {}


def at_once(job: Job, by: object) -> AtOnce:
    """Stored bits, report and chunks of a run that asks for all chunks at once.

    Args:
        job: Several tests ask for the same one.
        by: What else decides; None where it is only the job.
    """
    from scorer.score import score

    if by is None and job in _at_once:
        return _at_once[job]
    events = list(score(job))
    run = planned(events).run
    found = (stored_bits(run), numbers(finished(events).report), find_run(run).facts.chunks)
    if by is None:
        _at_once[job] = found
    return found


def assert_as_asked_at_once(run: str, job: Job, by: object = None) -> None:
    """Stored bits and report are those of a run that asked for all of them at once."""
    bits, report, chunks = at_once(job, by)
    assert stored_bits(run) == bits
    own = find_run(run)
    assert own.finished and own.whole
    assert numbers(own.report()) == report
    assert own.facts.chunks == chunks
    assert own.info().chunks_planned == len(job.settings) * len(own.facts.chunks or ())


@pytest.mark.parametrize(
    ("chunks", "batch"),
    [
        ("spread", None),
        ("first", 2),
        pytest.param("first", None, marks=pytest.mark.slow),
        pytest.param("spread", 2, marks=pytest.mark.slow),
    ],
)
def test_only_what_is_missing_is_scored(small: Small, chunks: Any, batch: int | None) -> None:
    # No number depends on the batch on a CPU: the last one need not be whole.
    job = small.job(SETTINGS, chunks=chunks, batch=batch, max_chunks=FEW)
    first = small.score(SETTINGS, chunks=chunks, batch=batch, max_chunks=FEW)
    run = planned(first).run
    before = find_run(run).positions_path.read_bytes()
    second = resumed(more(job), run)
    order = planned(second).chunks
    assert planned(first).chunks == order[:FEW] and len(order) == MANY
    assert planned(second).done == dict.fromkeys(SETTINGS.split(","), FEW)
    assert {chunk for _, chunk in cells(second)} == set(order[FEW:])
    assert len(cells(second)) == 3 * (MANY - FEW)
    assert find_run(run).positions_path.read_bytes().startswith(before)
    assert find_run(run).job == more(job)
    assert_as_asked_at_once(run, more(job))


def test_every_chunk_of_the_text_is_added(small: Small) -> None:
    run = planned(small.score("8", chunks="spread", max_chunks=2, chunk_length=128)).run
    job = small.job("8", chunks="spread", max_chunks=None, chunk_length=128)
    events = resumed(job, run)
    total = planned(events).text_chunks
    assert len(planned(events).chunks) == total and len(cells(events)) == total - 2
    # More than there are adds none.
    again = resumed(more(job, total + 5), run)
    assert cells(again) == [] and finished(again).complete


@pytest.mark.parametrize(
    "after", [pytest.param(1, marks=pytest.mark.slow), 4, pytest.param(11, marks=pytest.mark.slow)]
)
def test_an_addition_that_is_stopped_goes_on_where_it_stood(small: Small, after: int) -> None:
    job = small.job(SETTINGS, chunks="spread", max_chunks=FEW)
    run = planned(stopped(job, after=99)).run
    events = stopped(more(job), after=after, run=run)
    assert len(cells(events)) == after and not finished(events).complete
    unfinished = newest_unfinished()
    assert unfinished is not None and unfinished.id == run
    assert not find_run(run).whole
    # As `qfid resume` does: by the job that the run has stored.
    rest = resumed(find_run(run).job, run)
    assert len(cells(rest)) == 3 * (MANY - FEW) - after
    assert_as_asked_at_once(run, more(job))


@pytest.mark.parametrize("place", ["state.json", "job.json"])
def test_a_process_that_ends_as_chunks_are_added_leaves_a_run_that_goes_on(
    small: Small, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before or after either of the two files is written."""
    from scorer.runs import run as runs
    from scorer.runs import run_state

    job = small.job("8,4", max_chunks=FEW)
    run = planned(stopped(job, after=99)).run
    module = run_state if place == "state.json" else runs
    write = module.write_atomic

    class Killed(BaseException):
        pass

    for is_written in (False, True):

        def killed(path: Path, text: str, written: bool = is_written) -> None:
            if path.name == place and written:
                write(path, text)
            if path.name == place:
                raise Killed

        with monkeypatch.context() as patch:
            patch.setattr(module, "write_atomic", killed)
            with pytest.raises(Killed):
                resumed(more(job), run)
        left = find_run(run)
        assert left.finished == left.whole or not left.finished
        assert report_values(finished_report(left, first=FEW))["settings"]
    resumed(more(job), run)
    assert_as_asked_at_once(run, more(job))


def test_settings_and_chunks_are_added_together(small: Small) -> None:
    run = planned(small.score("8", max_chunks=FEW)).run
    job = small.job("8,4", max_chunks=MANY)
    events = resumed(job, run)
    assert planned(events).done == {"8": FEW, "4": 0}
    # What is added to the larger run is scored on all its chunks.
    assert len(cells(events)) == (MANY - FEW) + MANY
    assert_as_asked_at_once(run, job)
    later = resumed(small.job("8,4,2", max_chunks=FEW), run)
    assert [setting for setting, _ in cells(later)] == ["2"] * MANY
    assert find_run(run).job.max_chunks == MANY


def test_figures_of_rows_with_more_chunks_than_others(small: Small) -> None:
    """Each row has all its chunks; what is said of two rows rests on those of both."""
    run = planned(small.score("8,4", max_chunks=FEW)).run
    events = stopped(small.job("8,4", max_chunks=MANY), after=5, run=run)
    report = finished(events).report
    counts = [row["n_chunks"] for row in report["settings"]]
    assert counts == [FEW + 3, FEW + 2]
    assert report["frontiers"][0]["n_chunks"] == FEW + 2
    assert report["comparisons"][0]["n_chunks"] == FEW + 2
    assert report["run"]["chunks_planned"] == MANY and not report["run"]["complete"]


def test_fewer_chunks_are_reported_and_none_is_scored(small: Small) -> None:
    events = small.score(SETTINGS, chunks="spread", max_chunks=MANY)
    run = find_run(planned(events).run)
    chunks = asked_chunks(run, FEW)
    assert chunks is not None and chunks.is_smaller and not chunks.missing
    fewer = small.score(SETTINGS, chunks="spread", max_chunks=FEW)
    assert report_values(finished_report(run, first=FEW)) == numbers(finished(fewer).report)
    # Asked of the engine, it keeps what it has.
    again = resumed(small.job(SETTINGS, chunks="spread", max_chunks=FEW), run.id)
    assert cells(again) == [] and len(planned(again).chunks) == MANY
    assert numbers(finished(again).report) == numbers(finished(events).report)
    assert find_run(run.id).job.max_chunks == MANY


def test_an_unfinished_run_ends_earlier_where_fewer_are_asked_for(small: Small) -> None:
    job = small.job("8,4", max_chunks=MANY)
    run = planned(stopped(job, after=3)).run
    events = resumed(more(job, FEW), run)
    assert planned(events).chunks == [0, 1, 2] and len(cells(events)) == 3
    assert_as_asked_at_once(run, more(job, FEW))
    # What is scored is never left out.
    other = planned(stopped(job, after=9)).run
    events = resumed(more(job, FEW), other)
    assert planned(events).chunks == [0, 1, 2, 3, 4]
    assert find_run(other).job.max_chunks == 5


def evenly_spread(total: int, choice: str, n: int | None, left_out: object = ()) -> tuple[int, ...]:
    """The rule of the first version, which does not nest."""
    n = total if n is None else min(n, total)
    return tuple((2 * i + 1) * total // (2 * n) for i in range(n))


def as_of_an_earlier_version(run: Run) -> None:
    """Let a run have the list of its chunks in its identity."""
    path = run.path / "job.json"
    data = json.loads(path.read_text())
    identity = data["facts"]["identity"]
    identity["chunks"] = ",".join(map(str, data["facts"]["chunks"]))
    data["identity"] = identity_hash(identity)
    path.write_text(json.dumps(data))


def test_runs_of_earlier_rules_keep_their_chunks(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small.job("8", chunks="spread", max_chunks=FEW)
    with monkeypatch.context() as earlier:
        earlier.setattr("scorer.text.chunk_order.select_chunks", evenly_spread)
        run = planned(stopped(job, after=99)).run
    as_of_an_earlier_version(find_run(run))
    assert find_run(run).finished and "chunks" in find_run(run).conditions
    own = find_run(run).facts.chunks
    events = resumed(more(job), run)
    assert own is not None and tuple(planned(events).chunks[:FEW]) == own
    order = planned(small.score("8", chunks="spread", max_chunks=MANY)).chunks
    assert planned(events).chunks[FEW:] == [c for c in order if c not in own][: MANY - FEW]
    assert finished(events).complete
    (note,) = [w for w in finished(events).report["run"]["warnings"] if "rule" in w]
    assert "spread the chunks by another rule" in note
    assert "chunks" not in find_run(run).conditions and find_run(run).whole


def test_dropped_settings_stay_dropped(small: Small) -> None:
    run = planned(small.score("8,4", max_chunks=FEW)).run
    find_run(run).mark_dropped({"4": "it cannot be the answer"})
    events = resumed(small.job("8,4", max_chunks=MANY), run)
    assert [setting for setting, _ in cells(events)] == ["8"] * (MANY - FEW)
    rows = finished(events).report["settings"]
    assert [row["n_chunks"] for row in rows] == [MANY, FEW] and finished(events).complete
    assert rows[1]["dropped"]
    assert find_run(run).finished and find_run(run).whole


def test_settings_are_dropped_on_the_way_and_not_by_looking_again(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looks are at 8 and at 16 chunks."""
    beaten: dict[str, str] = {}
    monkeypatch.setattr("scorer.engine.looks.droppable", lambda report: dict(beaten))
    job = small.job("8,4,2", drop_beaten=True, max_chunks=10)
    beaten["2"] = "it is beaten"
    run = planned(stopped(job, after=99)).run
    beaten["4"] = "it is beaten too"
    # Nothing is missing: nothing is looked at.
    assert cells(resumed(job, run)) == [] and set(find_run(run).dropped()) == {"2"}
    resumed(more(job, 20), run)
    after = find_run(run)
    assert set(after.dropped()) == {"2", "4"} and after.finished
    assert {name: len(chunks) for name, chunks in after.scored().items()} == {
        "8": 20,
        "4": 10,
        "2": 8,
    }


def test_a_setting_that_failed_is_tried_on_all_chunks(small: Small) -> None:
    run = planned(small.score("8,4", max_chunks=FEW)).run
    find_run(run).mark_failed("4", "SettingFailed", "it failed")
    events = resumed(small.job("8,4", max_chunks=MANY), run)
    assert finished(events).complete and not find_run(run).failures()
    assert_as_asked_at_once(run, small.job("8,4", max_chunks=MANY))


@pytest.mark.parametrize("one_at_a_time", [False, True])
def test_weights_too(small: Small, one_at_a_time: bool) -> None:
    job = small.job("w8:32,4,w8:32+4", max_chunks=2, one_at_a_time=one_at_a_time)
    run = planned(stopped(job, after=99)).run
    events = stopped(more(job, 4), after=3, run=run)
    assert not finished(events).complete
    assert finished(resumed(find_run(run).job, run)).complete
    assert_as_asked_at_once(run, more(job, 4))


def test_the_noise_floor_is_that_of_all_chunks(small: Small) -> None:
    job = small.job("8", noise_floor=4, max_chunks=2)
    run = planned(stopped(job, after=99)).run
    resumed(more(job, 4), run)
    assert_as_asked_at_once(run, more(job, 4))


def test_whole_batches_where_numbers_depend_on_them(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: the user is told, and batches are those of any larger number of chunks."""

    def of_a_gpu(device: str, batch: int) -> int:
        return batch

    monkeypatch.setattr("scorer.engine.preparation.whole_batch", of_a_gpu)
    monkeypatch.setattr("scorer.runs.chunk_plan.whole_batch", of_a_gpu)
    job = small.job("8,4", chunks="spread", batch=4, max_chunks=FEW)
    events = stopped(job, after=99)
    run = find_run(planned(events).run)
    assert len(planned(events).chunks) == 4 and run.job.max_chunks == 4
    (said,) = [e for e in events if isinstance(e, Warned) and "rounded" in e.message]
    assert said.message.startswith("3 chunks are rounded up to 4: 4 go through the model together")
    # As many batches as were asked for: nothing is missing.
    chunks = asked_chunks(run, FEW)
    assert chunks is not None and chunks.asked == 4 and not chunks.missing
    chunks = asked_chunks(run, 9)
    assert chunks is not None and (chunks.asked, chunks.planned, chunks.missing) == (12, 4, 16)
    events = resumed(more(run.job, 9), run.id)
    assert planned(events).chunks[:4] == list(run.facts.chunks or ())
    assert len(planned(events).chunks) == 12 and len(cells(events)) == 16
    assert_as_asked_at_once(run.id, more(job, 12), by=of_a_gpu)
    # Of a stopped one no batch is cut.
    other = planned(stopped(more(job, 12), after=9)).run
    events = resumed(more(job, 5), other)
    assert len(planned(events).chunks) == 8 and find_run(other).job.max_chunks == 8
    # A run of an earlier version, whose last batch is not whole, is not rounded by going on.
    with monkeypatch.context() as earlier:
        earlier.setattr("scorer.engine.preparation.whole_batch", lambda device, batch: 1)
        old = planned(stopped(more(job, 6), after=3)).run
    events = resumed(find_run(old).job, old)
    assert len(planned(events).chunks) == 6
    assert len(planned(resumed(more(job, 7), old)).chunks) == 8


def test_another_order_is_refused(small: Small) -> None:
    run = planned(small.score("8", chunks="first")).run
    error = failed(resumed(small.job("8", chunks="spread", max_chunks=MANY), run))
    assert error.exit_code == 2
    assert "takes its chunks in the order `first`, not `spread`" in error.message
    assert len(find_run(run).facts.chunks or ()) == 2


def test_settings_of_a_run_of_more_chunks_are_told_apart_by_their_own_key(small: Small) -> None:
    run = planned(small.score("8,4", max_chunks=FEW)).run
    before = finished_report(find_run(run))
    resumed(small.job("8,4", max_chunks=MANY), run)
    after = finished_report(find_run(run))
    # Chunks are no condition: the keys of the rows are what they were.
    keys = [[row.comparability_key for row in report.settings] for report in (before, after)]
    assert keys[0] == keys[1]
    assert parse_settings("8,4") == find_run(run).job.settings
