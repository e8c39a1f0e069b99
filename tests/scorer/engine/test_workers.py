"""Batches scored by several threads come to the same bits, in the same order, as by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from deadline import DEADLINE
from process_state import nothing_changes
from tiny_runs import Small, cells, finished, numbers, planned, resumed, stopped

from scorer.common.errors import Interrupted
from scorer.device.backend import start_backend
from scorer.device.threads import Busy
from scorer.engine import batch_scorers
from scorer.engine import preparation as prepare
from scorer.engine.outcomes import LaneFailed, Outcome, PassDone, Scored, ScoreTask
from scorer.engine.tiles import Batch
from scorer.engine.workers import Stop, Worker, Workers
from scorer.lanes.base import PendingPass, ReferenceLane
from scorer.lanes.kv.lane import KVLane
from scorer.runs.listing import find_run
from scorer.score import score
from scorer.spec.events import Event, SettingFailedEvent, Warned
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings

OUT = "[malloc] Unable to allocate 8589934592 bytes."


@dataclass
class Used:
    """Sets how many workers the runs of a test may have, and notes how many they had."""

    patch: pytest.MonkeyPatch
    at_once: list[int]

    def __call__(self, count: int) -> None:
        self.at_once.clear()
        self.patch.setattr(prepare, "worker_count", lambda device: count)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Used:
    used = Used(monkeypatch, [])

    class Noted(Workers):
        def _scored(self, tasks: Iterator[ScoreTask], threads: int) -> Iterator[Outcome]:
            used.at_once.append(threads)
            return super()._scored(tasks, threads)

    monkeypatch.setattr(batch_scorers, "Workers", Noted)
    return used


def workers_alive() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "qfid-worker"]


def bits(events: list[Event]) -> dict[tuple[str, int], list[bytes]]:
    """Every column of everything stored, by setting and chunk."""
    return {
        (name, int(positions.chunk[0])): [
            getattr(positions, field.name).tobytes() for field in fields(positions)
        ]
        for name, batches in find_run(planned(events).run).read().items()
        for positions, _ in batches
    }


def same(got: list[Event], expected: list[Event]) -> None:
    assert bits(got) == bits(expected)
    assert cells(got) == cells(expected)
    assert numbers(finished(got).report) == numbers(finished(expected).report)
    assert not workers_alive()


JOBS: dict[str, dict[str, Any]] = {
    "kv": {"settings": "8,4~dequantized,k8v4", "max_chunks": 5},
    "batches": {"settings": "8,4", "max_chunks": 5, "batch": 2},
    "deployment": {"settings": "8@9,4@9,4", "max_chunks": 4},
    "control": {"settings": "8,4", "max_chunks": 3, "control": True},
    "noise floor": {"settings": "8,4", "max_chunks": 3, "noise_floor": 4},
    "mlx-lm": {"settings": "8,4", "max_chunks": 3, "kernel": "mlx-lm"},
    "llama.cpp": {"settings": "8,4", "max_chunks": 3, "protocol": "llama.cpp"},
    "weights": {"settings": "4,w8:32,w2:32+4", "max_chunks": 3},
    "weights in turns": {
        "settings": "4,w8:32,w2:32+4@9",
        "max_chunks": 3,
        "one_at_a_time": True,
    },
}


@pytest.mark.parametrize("name", JOBS)
def test_numbers_are_equal_bit_for_bit(small: Small, workers: Used, name: str) -> None:
    job = dict(JOBS[name])
    settings = job.pop("settings")
    workers(1)
    expected = small.score(settings, **job)
    for count in (2, 3) if name == "kv" else (2,):
        workers(count)
        same(small.score(settings, **job), expected)
        assert workers.at_once and set(workers.at_once) == {count}


def test_the_demo_computed_by_mlx_too(workers: Used, monkeypatch: pytest.MonkeyPatch) -> None:
    job = Job("demo", parse_settings("8,4"), CorpusSpec("builtin"), chunk_length=64, max_chunks=4)
    for arithmetic in ("numpy", "mlx"):
        monkeypatch.setenv("QFID_CPU_ARITHMETIC", arithmetic)
        workers(1)
        expected = list(score(job))
        workers(2)
        same(list(score(job)), expected)
        assert workers.at_once == [2]


def test_a_stopped_run_goes_on_with_any_number_of_workers(small: Small, workers: Used) -> None:
    settings, chunks, after = "8,4,k8v4", 12, 2
    workers(1)
    expected = small.score(settings, max_chunks=chunks)
    job = small.job(settings, max_chunks=chunks)
    workers(3)
    begun = stopped(job, after)
    told = set(cells(begun))
    run = find_run(planned(begun).run)
    stored = {(name, chunk) for name, chunks in run.scored().items() for chunk in chunks}
    assert stored == told and len(told) >= after and not workers_alive()
    assert not finished(begun).complete
    workers(2)
    rest = resumed(job, run.id)
    assert finished(rest).complete and not told & set(cells(rest))
    assert bits(rest) == bits(expected)
    assert numbers(finished(rest).report) == numbers(finished(expected).report)


def test_a_setting_that_fails_fails_on_the_same_chunk(
    small: Small, workers: Used, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = KVLane.begin
    bad = {tuple(small_ids) for small_ids in _chunk_tokens(small)[2:]}

    def begin(self: KVLane, tokens: mx.array) -> PendingPass:
        made = plain(self, tokens)
        if self.key == "4" and tuple(np.array(tokens)[0].tolist()) in bad:
            made = PendingPass(_Infinite(made.states.load()), made.checks, made.findings)
        return made

    monkeypatch.setattr(KVLane, "begin", begin)
    told = []
    for count in (1, 3):
        workers(count)
        events = small.score("8,4,k8v4", max_chunks=4)
        failures = [event for event in events if isinstance(event, SettingFailedEvent)]
        told.append(([(f.setting, f.message) for f in failures], cells(events), bits(events)))
    assert told[1] == told[0]
    (failure,) = told[0][0]
    assert failure[0] == "4" and "chunk 2," in failure[1]
    assert [chunk for name, chunk in told[0][1] if name == "4"] == [0, 1]


@dataclass
class _Infinite:
    states: mx.array

    def load(self) -> mx.array:
        return self.states * mx.inf


def _chunk_tokens(small: Small) -> list[list[int]]:
    preparation = prepare.Preparation(small.job(max_chunks=4), start_backend(), None)
    for _ in preparation.steps():
        pass
    assert preparation.result is not None
    ids: list[list[int]] = preparation.result.corpus.ids[:, :-1].tolist()
    preparation.close()
    return ids


def in_a_worker() -> bool:
    return threading.current_thread().name == "qfid-worker"


def test_memory_that_runs_out_in_one_thread_leaves_one_batch_at_a_time(
    small: Small, workers: Used, monkeypatch: pytest.MonkeyPatch
) -> None:
    workers(1)
    expected = small.score("8,4", max_chunks=6)
    plain, passes = ReferenceLane.begin, list[int]()

    def begin(self: ReferenceLane, tokens: mx.array) -> PendingPass:
        if in_a_worker():
            passes.append(1)
            if len(passes) > 3:
                raise RuntimeError(OUT)
        return plain(self, tokens)

    monkeypatch.setattr(ReferenceLane, "begin", begin)
    workers(2)
    events = small.score("8,4", max_chunks=6)
    warned = [event for event in events if isinstance(event, Warned)]
    assert [event.message for event in warned] == [
        "memory ran out; going on with one batch at a time instead of 2"
    ]
    assert warned[0].hint == OUT
    assert bits(events) == bits(expected) and sorted(cells(events)) == sorted(cells(expected))
    assert numbers(finished(events).report) == numbers(finished(expected).report)


def test_an_error_in_one_thread_is_the_error_of_the_run(
    small: Small, workers: Used, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = ReferenceLane.begin

    def begin(self: ReferenceLane, tokens: mx.array) -> PendingPass:
        if in_a_worker():
            raise RuntimeError("[matmul] shapes do not fit")
        return plain(self, tokens)

    monkeypatch.setattr(ReferenceLane, "begin", begin)
    workers(3)
    with pytest.raises(RuntimeError, match="shapes do not fit"):
        small.score("8", max_chunks=6)
    assert not workers_alive() and Busy.count() == 0


def test_a_run_in_threads_leaves_the_process_as_it_was(small: Small, workers: Used) -> None:
    workers(3)
    small.score("4", max_chunks=4)
    threads = system_threads()
    limit = mx.set_cache_limit(50 << 20)
    with nothing_changes():
        small.score("4", max_chunks=4)
        events = score(small.job("4", max_chunks=9))
        while not workers_alive():
            next(events)
        events.close()
    assert mx.set_cache_limit(limit) == 50 << 20
    assert not workers_alive() and Busy.count() == 0
    # MLX never ends the thread of a stream: streams are used again.
    end = time.monotonic() + DEADLINE
    while system_threads() > threads:
        assert time.monotonic() < end
        time.sleep(0.01)


def system_threads() -> int:
    """Threads of this process as the system counts them; 0 where it does not say."""
    folder = Path("/proc/self/task")
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.mark.parametrize("unusable", [1, 3])
def test_threads_that_cannot_run_the_model_leave_it_to_the_others(
    small: Small, workers: Used, monkeypatch: pytest.MonkeyPatch, unusable: int
) -> None:
    workers(1)
    expected = small.score("8,4", max_chunks=4)
    plain, tried = batch_scorers._computes, list[int]()
    asked = threading.Lock()

    def computes(*arguments: Any) -> bool:
        with asked:
            tried.append(1)
            number = len(tried)
        if number > unusable:
            return plain(*arguments)
        if number == 1:
            raise RuntimeError("There is no Stream(cpu, 0) in current thread.")
        return False

    monkeypatch.setattr(batch_scorers, "_computes", computes)
    workers(3)
    same(small.score("8,4", max_chunks=4), expected)
    assert workers.at_once == ([] if unusable == 3 else [2])


def test_models_with_code_of_their_own_have_one_thread(
    small: Small, workers: Used, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_scorers, "_runs_code_of_its_own", lambda prepared: True)
    workers(3)
    small.score("4", max_chunks=3)
    assert workers.at_once == []


# Without a model: what workers do is written down.


@dataclass(frozen=True)
class Named:
    """As much of a lane as its name."""

    key: str


A, B = Named("a"), Named("b")


def task(number: int) -> ScoreTask:
    return ScoreTask(Batch((number,), np.zeros((1, 4), np.int32), 0), [A, B])  # type: ignore[list-item]


class Scripted:
    """Scores a batch by calling a function of its number and the lane."""

    at_once = 1

    def __init__(self, stop: Stop, work: Callable[[int, str], None]) -> None:
        self._stop, self._work = stop, work

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        for one in tasks:
            yield PassDone(one.batch, None, 1, 3)
            failed = set[str]()
            for lane in one.lanes:
                if self._stop():
                    raise Interrupted("stopped")
                try:
                    self._work(one.batch.chunks[0], lane.key)
                except ArithmeticError as error:
                    failed.add(lane.key)
                    yield LaneFailed(lane, error)  # type: ignore[arg-type]
                else:
                    yield Scored(lane, list(one.batch.chunks), 2.0)  # type: ignore[arg-type]


def scripted(
    work: Callable[[int, str], None], count: int = 2, stop: Stop = lambda: False
) -> Workers:
    made = [Worker(lambda s: Scripted(s, work), lambda: True, lambda: None) for _ in range(count)]
    return Workers(made, stop, Scripted(stop, work))


def told(outcomes: Iterable[Outcome]) -> list[tuple[str, int] | str]:
    return [
        (o.lane.key, o.chunks[0]) if isinstance(o, Scored) else f"{o.lane.key} failed"  # type: ignore[misc]
        for o in outcomes
        if isinstance(o, Scored | LaneFailed)
    ]


def grid_order(batches: int) -> list[tuple[str, int]]:
    return [(name, number) for number in range(batches) for name in "ab"]


def test_outcomes_come_in_the_order_of_the_batches() -> None:
    later = threading.Event()

    def work(number: int, name: str) -> None:
        if number == 0:
            assert later.wait(DEADLINE)
        elif (number, name) == (2, "b"):
            later.set()

    outcomes = list(scripted(work).score(map(task, range(6))))
    assert told(outcomes) == grid_order(6)
    passes = [o.batch.chunks[0] for o in outcomes if isinstance(o, PassDone)]
    # A pass is told of at once.
    assert sorted(passes) == list(range(6)) and passes.index(2) < 3
    assert not workers_alive() and Busy.count() == 0


def test_no_batch_is_handed_out_far_ahead_of_one_that_is_not_scored() -> None:
    later, taken = threading.Event(), list[int]()

    def work(number: int, name: str) -> None:
        if number == 0:
            assert later.wait(DEADLINE)
        elif (number, name) == (3, "b"):
            assert max(taken) == 3
            later.set()

    def tasks() -> Iterator[ScoreTask]:
        for number in range(8):
            taken.append(number)
            yield task(number)

    assert told(scripted(work).score(tasks())) == grid_order(8)


def test_nothing_of_a_lane_is_told_after_it_failed() -> None:
    later = threading.Event()

    def work(number: int, name: str) -> None:
        if (number, name) == (1, "a"):
            assert later.wait(DEADLINE)
            raise ArithmeticError
        if (number, name) == (2, "b"):
            later.set()

    found = told(scripted(work).score(map(task, range(4))))
    assert found == [("a", 0), ("b", 0), "a failed", ("b", 1), ("b", 2), ("b", 3)]


def test_a_stopped_run_is_told_what_is_scored_completely() -> None:
    scored, waiting = threading.Event(), threading.Event()

    def work(number: int, name: str) -> None:
        if (number, name) == (0, "b"):
            assert scored.wait(DEADLINE)
        elif (number, name) == (1, "b"):
            scored.set()
            waiting.wait(0.2)

    found: list[Outcome] = []
    with pytest.raises(Interrupted):
        for outcome in scripted(work, stop=scored.is_set).score(map(task, range(6))):
            found.append(outcome)
    assert set(told(found)) >= {("a", 0), ("a", 1), ("b", 1)} and len(told(found)) < 12
    assert not workers_alive()


def test_seconds_are_a_share_of_those_that_pass() -> None:
    both = threading.Barrier(2)

    def work(number: int, name: str) -> None:
        both.wait(DEADLINE)

    found = list(scripted(work).score(map(task, range(2))))
    # The last to end may be alone by then.
    seconds = [o.seconds for o in found if isinstance(o, Scored)]
    assert seconds.count(1.0) >= 2 and set(seconds) <= {1.0, 2.0}


def test_an_iterator_that_is_closed_ends_its_threads() -> None:
    outcomes = scripted(lambda number, name: None).score(map(task, range(100)))
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert not workers_alive()
