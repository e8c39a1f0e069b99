"""The watch on the host's memory: when it speaks, and that it does not wait when memory is gone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from deadline import DEADLINE

from scorer.common.errors import WillNotFit
from scorer.device.host_memory import HostMemory
from scorer.device.memory_watch import MemoryWatch

GIB = 1 << 30
TOTAL = 20 * GIB
LOW = HostMemory(TOTAL, 0).low


class Reader:
    """Gives one figure after the other, then the last for ever; ``done`` when all were read."""

    def __init__(self, available: Iterable[int]) -> None:
        self._left = list(available)
        self.done = threading.Event()

    def __call__(self) -> HostMemory:
        available = self._left[0]
        if len(self._left) > 1:
            self._left.pop(0)
        else:
            self.done.set()
        return HostMemory(TOTAL, available)


def watched(
    *available: int, at_once: Callable[[WillNotFit], None] | None = None
) -> WillNotFit | None:
    reader = Reader([*available, available[-1]])
    with MemoryWatch(reader, at_once=at_once, interval=0.001) as watch:
        assert reader.done.wait(DEADLINE)
    return watch.short


def test_enough_memory_is_no_reason_to_end() -> None:
    assert watched(10 * GIB, LOW) is None


def test_low_memory_ends_the_run_with_the_figures() -> None:
    short = watched(10 * GIB, LOW - 1)
    assert short is not None and short.exit_code == 3
    assert short.message == (
        "memory ran short: 1.0 of 20.0 GiB are available; stopped before the machine swaps"
    )
    assert "everything scored is saved" in short.hint


def test_memory_that_comes_back_does_not_call_the_end_off() -> None:
    assert watched(LOW - 1, 10 * GIB) is not None


def test_memory_that_is_all_but_gone_ends_the_process_at_once() -> None:
    ended: list[WillNotFit] = []
    over = threading.Event()

    def end(error: WillNotFit) -> None:
        ended.append(error)
        over.set()

    with MemoryWatch(Reader([LOW - 1, LOW // 2 - 1]), at_once=end, interval=0.001) as watch:
        assert over.wait(DEADLINE)
    assert watch.short is not None and len(ended) == 1
    assert "0.5 of 20.0 GiB" in ended[0].message


def test_low_memory_alone_does_not_end_the_process_at_once() -> None:
    ended: list[WillNotFit] = []
    assert watched(LOW - 1, LOW // 2, at_once=ended.append) is not None
    assert ended == []


def test_it_ends_with_the_run_it_watches() -> None:
    before = threading.active_count()
    with MemoryWatch(lambda: HostMemory(TOTAL, TOTAL), interval=1000.0):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
