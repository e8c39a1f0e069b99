"""How many threads and workers there are, and which of them help."""

from __future__ import annotations

import threading

import pytest

from scorer.common.errors import InputError
from scorer.device import threads
from scorer.device.threads import Busy, run_each, worker_count


def names_of(items: int) -> set[str]:
    """The threads that work on items of some size."""
    found: set[str] = set()
    all_here = threading.Barrier(items)

    def work(_: int) -> None:
        found.add(threading.current_thread().name)
        all_here.wait(0.2)

    try:
        run_each(work, range(items), 1 << 20)
    except threading.BrokenBarrierError:
        pass
    return found


def test_a_worker_has_a_core_and_those_of_workers_that_have_ended(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(threads, "thread_count", lambda: 2)
    threads._pool.cache_clear()
    first, second = Busy(), Busy()
    try:
        assert len(names_of(2)) == 2
        first.set(True)
        assert len(names_of(2)) == 2
        second.set(True)
        assert Busy.count() == 2 and len(names_of(2)) == 1
        second.set(False)
        second.set(False)
        assert Busy.count() == 1 and len(names_of(2)) == 2
    finally:
        first.set(False)
        threads._pool().shutdown()
        threads._pool.cache_clear()
    assert Busy.count() == 0


def test_workers_are_for_the_cpu_and_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "thread_count", lambda: 4)
    monkeypatch.delenv("QFID_WORKERS", raising=False)
    assert (worker_count("cpu"), worker_count("cuda"), worker_count("metal")) == (4, 1, 1)
    monkeypatch.setenv("QFID_WORKERS", "plain")
    assert worker_count("cpu") == 1
    monkeypatch.setenv("QFID_WORKERS", "3")
    with pytest.raises(InputError, match="`3` is not a value of QFID_WORKERS"):
        worker_count("cpu")
