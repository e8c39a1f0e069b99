"""Threads that read much pause now and then."""

from __future__ import annotations

import pytest

from qfid_tui.state import reading_pauses
from qfid_tui.state.reading_pauses import ReadingPauses


class Clock:
    """Stands in for ``time``."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


def test_a_pause_after_some_milliseconds_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(reading_pauses, "time", clock)
    pauses = ReadingPauses()
    for _ in range(90):
        clock.now += 1 / 512
        pauses.rest()
    assert clock.slept == [0.001] * 30
