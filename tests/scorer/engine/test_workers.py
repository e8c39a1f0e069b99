"""Batches scored by several threads come to the same bits, in the same order, as by one."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from deadline import DEADLINE
from process_state import nothing_changes
from tiny_runs import Small, cells, finished, numbers, planned, resumed, stopped, stored_cells
from worker_threads import workers_alive

from scorer.device.backend import start_backend
from scorer.device.threads import Busy
from scorer.engine import batch_scorers
from scorer.engine import preparation as prepare
from scorer.engine.outcomes import Outcome, ScoreTask
from scorer.engine.workers import Workers
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


@pytest.mark.slow
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
    stored = stored_cells(run)
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
