"""A run that was stopped, damaged or grown goes on and ends as if nothing had happened."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from tiny_runs import (
    Small,
    cells,
    failed,
    finished,
    numbers,
    planned,
    resumed,
    stopped,
    stored_cells,
)

from scorer.common.folders import runs_folder
from scorer.report.from_run import finished_report
from scorer.runs import arrow_messages
from scorer.runs.listing import Run, find_run, list_runs, newest_unfinished
from scorer.score import score
from scorer.spec.events import ChunkScored, Event, Finished, Planned
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings

SETTINGS = "8,4~dequantized,k8v4@9"
CHUNKS = 3
ALL = [(setting, chunk) for chunk in range(CHUNKS) for setting in SETTINGS.split(",")]


@pytest.fixture(scope="module")
def whole(small: Small, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The report of a run that nothing disturbed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QFID_DATA_DIR", str(tmp_path_factory.mktemp("whole")))
        report = finished(small.score(SETTINGS, max_chunks=CHUNKS)).report
    made: dict[str, Any] = numbers(report)
    return made


@pytest.mark.parametrize(
    "after",
    # The first and the last cell, the end of a chunk, and within one.
    [
        pytest.param(after, marks=[] if after in (1, 3, 5, 8) else pytest.mark.slow)
        for after in range(1, len(ALL))
    ],
)
def test_a_stopped_run_keeps_what_is_scored_and_ends_as_an_uninterrupted_one(
    small: Small, whole: dict[str, Any], after: int
) -> None:
    job = small.job(SETTINGS, max_chunks=CHUNKS)
    events = stopped(job, after)
    assert cells(events) == ALL[:after]
    assert not finished(events).complete
    run = find_run(planned(events).run)
    assert stored_cells(run) == set(ALL[:after])
    assert not run.finished and run.info().state == "unfinished"
    unfinished = newest_unfinished()
    assert unfinished is not None and unfinished.id == run.id

    rest = resumed(job, run.id)
    assert planned(rest).run == run.id
    assert planned(rest).done == {
        setting: sum(s == setting for s, _ in ALL[:after]) for setting in SETTINGS.split(",")
    }
    assert cells(rest) == ALL[after:]
    assert finished(rest).complete
    assert numbers(finished(rest).report) == whole
    assert find_run(run.id).finished and newest_unfinished() is None
    assert len(list_runs()) == 1


def test_a_partial_report_is_about_all_chunks_that_each_setting_has(small: Small) -> None:
    events = stopped(small.job("8,4", max_chunks=3), after=3)
    report = finished(events).report
    assert [row["n_chunks"] for row in report["settings"]] == [2, 1]
    assert [row["chunks"] for row in report["settings"]] == [[0, 1], [0]]
    assert report["frontiers"][0]["n_chunks"] == report["comparisons"][0]["n_chunks"] == 1
    assert report["run"]["chunks"] == [0, 1] and report["run"]["complete"] is False
    run = find_run(planned(events).run)
    assert run.report() == report and (run.path / "report.md").exists()


def test_settings_that_are_added_and_stopped_leave_the_others_their_figures(small: Small) -> None:
    events = small.score("8,4", max_chunks=3)
    before, run = finished(events).report, planned(events).run
    job = small.job("8,4,2", max_chunks=3)
    after = finished(stopped(job, after=1, run=run)).report
    assert [row["n_chunks"] for row in after["settings"]] == [3, 3, 1]
    for key in ("kl", "flip_rate", "intervals", "kl_by_depth", "verdict_shown", "seconds"):
        for old, new in zip(before["settings"], after["settings"], strict=False):
            assert new[key] == old[key], key
    assert after["frontiers"][0]["n_chunks"] == 1


def test_whole_cells_of_the_grid_are_scored_again(small: Small) -> None:
    """Where a batch was cut, its forward is that of the whole batch, as on a GPU it must be."""
    job = small.job("8,4", max_chunks=4, batch=2)
    events = stopped(job, after=2)
    assert cells(events) == [("8", 0), ("8", 1)]
    rest = resumed(job, planned(events).run)
    assert cells(rest) == [("4", 0), ("4", 1), ("8", 2), ("8", 3), ("4", 2), ("4", 3)]
    assert numbers(finished(rest).report) == numbers(
        finished(small.score("8,4", max_chunks=4, batch=2)).report
    )


def test_stopped_before_anything_is_scored_there_is_no_report(small: Small) -> None:
    for stop_at in ("start", "first chunk"):
        stop = stop_at == "start"
        events: list[Event] = []
        for event in score(small.job(), stop=lambda: stop):  # noqa: B023
            events.append(event)
            stop = stop or isinstance(event, Planned)
        failure = failed(events)
        assert (failure.error, failure.exit_code) == ("Interrupted", 130)
        assert failure.saved == 0


def test_a_run_whose_reader_walks_away_can_be_resumed(small: Small, whole: dict[str, Any]) -> None:
    job = small.job(SETTINGS, max_chunks=CHUNKS)
    events = score(job)
    run = ""
    for event in events:
        if isinstance(event, Planned):
            run = event.run
        if isinstance(event, ChunkScored):
            break
    events.close()  # type: ignore[attr-defined]
    assert find_run(run).scored() == {"8": {0}}
    assert numbers(finished(resumed(job, run)).report) == whole


@pytest.fixture(scope="module")
def saved(small: Small, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Run]:
    """A copy, among the test's own runs, of one that was stopped after so many chunks."""

    @cache
    def made(after: int) -> Path:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("QFID_DATA_DIR", str(tmp_path_factory.mktemp(f"after-{after}")))
            events = stopped(small.job(SETTINGS, max_chunks=CHUNKS), after=after)
            return find_run(planned(events).run).path

    def copied(after: int) -> Run:
        shutil.copytree(made(after), runs_folder() / made(after).name)
        return find_run(made(after).name)

    return copied


@pytest.mark.parametrize("after", [4, len(ALL)], ids=["unfinished", "finished"])
@pytest.mark.parametrize("damage", ["torn", "zeros", "flipped", "end of stream"])
def test_damaged_positions_are_scored_again(
    small: Small,
    whole: dict[str, Any],
    saved: Callable[[int], Run],
    damage: str,
    after: int,
) -> None:
    job = small.job(SETTINGS, max_chunks=CHUNKS)
    run = saved(after)
    assert run.whole is (after == len(ALL))
    data = bytearray(run.positions_path.read_bytes())
    if damage == "torn":
        del data[-100:]
    elif damage == "zeros":
        data[-100:] = bytes(100)
    elif damage == "flipped":
        data[-100] ^= 0x10
    else:
        with run.positions_path.open("rb") as file:
            *_, last = arrow_messages.frames(file, len(data))
        data[last.start : last.start] = b"\xff\xff\xff\xff\0\0\0\0"
    run.positions_path.write_bytes(data)
    assert not run.whole
    rest = resumed(job, run.id)
    assert cells(rest)[1:] == ALL[after:] and cells(rest)[0] in ALL[:after]
    assert numbers(finished(rest).report) == whole
    assert find_run(run.id).whole


def evenly_spread(total: int, choice: str, n: int, *_: object) -> tuple[int, ...]:
    """The rule of the first version."""
    return tuple((2 * i + 1) * total // (2 * n) for i in range(n))


def test_a_run_of_an_earlier_rule_keeps_its_chunks(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = small.job("8", chunks="spread", max_chunks=3)
    with monkeypatch.context() as earlier:
        earlier.setattr("scorer.text.chunk_order.select_chunks", evenly_spread)
        run = planned(stopped(job, after=1)).run
    kept = find_run(run).facts.chunks
    assert kept is not None and kept == tuple(sorted(kept))
    events = resumed(job, run)
    assert planned(events).chunks == list(kept) and cells(events) == [("8", c) for c in kept[1:]]
    # Settings added to it are scored on the same chunks.
    added = resumed(dataclasses.replace(job, settings=parse_settings("8,4")), run)
    assert cells(added) == [("4", chunk) for chunk in kept]
    report = finished(added).report
    assert report["run"]["chunks"] == list(kept)
    assert any(f"`qfid resume {run}` these" in text for text in report["run"]["warnings"])
    # A new run takes others, and says nothing.
    new = small.score("8", chunks="spread", max_chunks=3)
    assert set(planned(new).chunks) != set(kept)
    assert not any("rule" in text for text in finished(new).report["run"]["warnings"])


def test_batches_are_cut_from_the_order_and_more_chunks_hold_the_fewer(small: Small) -> None:
    events = small.score("8", chunks="spread", max_chunks=5, batch=2)
    order = planned(events).chunks
    assert [chunk for _, chunk in cells(events)] == order != sorted(order)
    fewer = small.score("8", chunks="spread", max_chunks=4, batch=2)
    assert planned(fewer).chunks == order[:4]
    # The same batches give the same bits.
    one, other = (find_run(planned(found).run).read()["8"] for found in (events, fewer))
    kl = {int(p.chunk[0]): p.kl.tobytes() for p, _ in one}
    assert {int(p.chunk[0]): p.kl.tobytes() for p, _ in other} == {c: kl[c] for c in order[:4]}


def test_a_finished_run_is_not_scored_again(small: Small) -> None:
    events = small.score("8")
    again = resumed(small.job("8"), planned(events).run)
    assert cells(again) == [] and finished(again).complete
    assert finished(again).report == finished(events).report


def test_a_setting_added_to_a_finished_run_is_the_only_one_scored(small: Small) -> None:
    first = small.score("8,4")
    run = find_run(planned(first).run)
    before = run.positions_path.read_bytes()
    second = resumed(small.job("2"), run.id)
    assert cells(second) == [("2", 0), ("2", 1)]
    assert planned(second).settings == ["8", "4", "2"]
    assert planned(second).done == {"8": 2, "4": 2, "2": 0}
    assert run.positions_path.read_bytes().startswith(before)
    report = finished(second).report
    together = finished(small.score("8,4,2")).report
    assert numbers(report) == numbers(together)
    assert [str(s) for s in find_run(run.id).job.settings] == ["8", "4", "2"]


def test_a_setting_of_arithmetic_already_scored_costs_nothing(small: Small) -> None:
    first = small.score("4")
    second = resumed(small.job("4~dequantized"), planned(first).run)
    assert cells(second) == []
    rows = finished(second).report["settings"]
    assert [row["same_as"] for row in rows] == [None, "4"] and rows[0]["kl"] == rows[1]["kl"]
    info = find_run(planned(first).run).info()
    assert (info.state, info.chunks_done, info.chunks_planned) == ("finished", 4, 4)


def test_a_saved_report_can_be_made_again(small: Small) -> None:
    events = small.score(SETTINGS)
    run = find_run(planned(events).run)
    assert finished_report(run).to_json() == finished(events).report == run.report()


def test_an_id_that_no_run_has_is_a_wrong_input(small: Small) -> None:
    failure = failed(resumed(small.job(), "20200101-000000-nothing"))
    assert failure.exit_code == 2 and "there is no run" in failure.message


HOLD = """
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from scorer.runs.run_lock import RunLock
with RunLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_run_that_another_process_writes_to_is_refused(small: Small) -> None:
    job = small.job("8,4")
    run = find_run(planned(stopped(job, after=1)).run)
    before = (run.path / "job.json").read_bytes()
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"
        failure = failed(resumed(small.job("2"), run.id))
        assert failure.exit_code == 2
        assert f"process {other.pid} since" in failure.message
        other.communicate("")
    assert (run.path / "job.json").read_bytes() == before
    assert finished(resumed(job, run.id)).complete


def test_runs_on_the_builtin_model_and_text_resume_too() -> None:
    job = Job("demo", Small(Path(), Path()).job("8,4").settings, CorpusSpec("builtin"), None)
    job = dataclasses.replace(job, chunk_length=64, max_chunks=2)
    run = planned(stopped(job, after=3)).run
    events = resumed(job, run)
    assert isinstance(events[-1], Finished) and cells(events) == [("4", 1)]


def test_numbers_of_two_runs_are_equal_in_every_bit(small: Small, whole: dict[str, Any]) -> None:
    mx.random.seed(7)
    assert numbers(finished(small.score(SETTINGS, max_chunks=CHUNKS)).report) == whole
