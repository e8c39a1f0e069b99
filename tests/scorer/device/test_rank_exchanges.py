"""Messages between ranks: of any length, and none that a lost rank did not send."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray
from project import ROOT

from scorer.common.device_kind import DeviceKind
from scorer.device import ranks
from scorer.device.buffer_cache import free_buffers, keeping_buffers
from scorer.device.ranks import ExchangeWatch, LinkLost, RankGroup, backend_for

Change = Callable[[NDArray[np.int32], int], NDArray[np.int32]]


class Loopback(RankGroup):
    """A rank whose two neighbours say the same as it does; what comes can be changed."""

    def __init__(self, change: Change | None = None) -> None:
        self.rank, self.size = 0, 3
        self.gathered = self.exchanges = 0
        self.said: list[int] = []
        self.coming = self.said.append
        self.watch = ExchangeWatch()
        self._change = change
        self._calls = 0

    def _gathered(self, own: NDArray[np.int32]) -> NDArray[np.int32]:
        found = np.stack([own] * self.size)
        self._calls += 1
        return found if self._change is None else self._change(found, self._calls)


@pytest.mark.parametrize("message", [b"", b"a", b"abcd", b"abcde" * 1001, bytes(range(256))])
def test_messages_come_as_they_were_sent(message: bytes) -> None:
    group = Loopback()
    assert group.exchange(message) == [message] * 3
    assert group.exchange(message[::-1]) == [message[::-1]] * 3
    assert group.said == [1, 2] and group.gathered == 6 * len(message)
    assert not group.watch.is_waiting


def zeros(found: NDArray[np.int32], call: int) -> NDArray[np.int32]:
    found[1] = 0
    return found


def huge(found: NDArray[np.int32], call: int) -> NDArray[np.int32]:
    found[2] = 2**31 - 1
    return found


def other_message(found: NDArray[np.int32], call: int) -> NDArray[np.int32]:
    if call == 2:
        found[1] += 1
    return found


class Stale:
    """Memory that still holds the heads of the exchange before."""

    def __init__(self) -> None:
        self.before: Any = None

    def __call__(self, found: NDArray[np.int32], call: int) -> NDArray[np.int32]:
        kept = found.copy()
        if call == 3:
            found[1] = self.before[1]
        if call == 1:
            self.before = kept
        return found


@pytest.mark.parametrize("change", [zeros, huge, other_message])
def test_what_was_in_memory_is_no_message(change: Change) -> None:
    with pytest.raises(LinkLost):
        Loopback(change).exchange(b"some message")


def test_a_message_of_the_exchange_before_is_none_of_this_one() -> None:
    group = Loopback(Stale())
    group.exchange(b"same")
    with pytest.raises(LinkLost):
        group.exchange(b"same")


def test_an_error_of_mlx_is_a_lost_link() -> None:
    def lost(found: NDArray[np.int32], call: int) -> NDArray[np.int32]:
        raise RuntimeError("[ring] connection to a peer was lost")

    group = Loopback(lost)
    with pytest.raises(LinkLost, match="peer was lost"):
        group.exchange(b"x")
    assert not group.watch.is_waiting


def test_the_backend_of_a_device() -> None:
    kinds: tuple[DeviceKind, ...] = ("cpu", "metal", "cuda")
    assert [backend_for(kind, "") for kind in kinds] == ["ring"] * 3
    assert [backend_for(kind, "", "tensor") for kind in kinds] == ["ring", "ring", "nccl"]
    assert backend_for("cuda", "ring", "tensor") == "ring"
    assert backend_for("cuda", "nccl") == "nccl"


def test_buffers_are_not_freed_while_a_collective_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """MLX would wait for it with the interpreter's lock held: nothing would run any more."""
    called: list[str] = []
    monkeypatch.setattr(mx, "clear_cache", lambda: called.append("clear"))
    monkeypatch.setattr(mx, "set_cache_limit", lambda size: called.append("limit") or 0)

    class Waiting(Loopback):
        def _gathered(self, own: NDArray[np.int32]) -> NDArray[np.int32]:
            free_buffers()
            with keeping_buffers(1):
                pass
            return super()._gathered(own)

    Waiting().exchange(b"a")
    assert not called
    free_buffers()
    with keeping_buffers(1):
        assert set(called) == {"clear", "limit"}


def test_nothing_else_of_the_scorer_clears_the_cache() -> None:
    """Only what knows of collectives may, and benchmarks, which have none."""
    found = {
        path.name
        for path in (ROOT / "scorer").rglob("*.py")
        if "mx.clear_cache(" in path.read_text("utf-8") and path.parent.name != "bench"
    }
    assert found == {"buffer_cache.py"}


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="Linux tells its threads")
def test_threads_that_wait_leave_the_cores_to_others() -> None:
    over = threading.Event()
    before = set(ranks._own_threads())
    waiting = threading.Thread(target=over.wait)
    waiting.start()
    try:
        (started,) = set(ranks._own_threads()) - before
        assert started == waiting.native_id
        usual = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        # One that has ended meanwhile is passed over.
        ranks._run_last([started, 2**22 + 1])
        assert os.getpriority(os.PRIO_PROCESS, started) == 19
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == usual
    finally:
        over.set()
        waiting.join()
