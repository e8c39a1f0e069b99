"""The time of a run: silence that is too long is told and not counted."""

from __future__ import annotations

from qfid_tui.state.progress import RunProgress
from qfid_tui.state.work_time import WorkTime
from scorer.spec.events import ChunkScored, Planned, Progress


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 50.0

    def __call__(self) -> float:
        return self.now


def test_silence_is_told_and_not_counted() -> None:
    clock = Clock()
    time = WorkTime(clock)
    for _ in range(4):
        clock.now += 5
        time.news()
    assert time.seconds == 20 and time.silence is None
    clock.now += 15
    assert time.seconds == 35 and time.silence is None
    clock.now += 1000
    assert time.silence == 1015 and time.seconds == 25
    time.news()
    assert time.silence is None and time.seconds == 25
    clock.now += 3
    assert time.seconds == 28


def test_nothing_is_silence_before_the_usual_time_is_known() -> None:
    clock = Clock()
    time = WorkTime(clock)
    clock.now += 3600
    assert time.silence is None and time.seconds == 3600


def test_short_pieces_of_work_are_not_called_silence_soon() -> None:
    clock = Clock()
    time = WorkTime(clock)
    for _ in range(100):
        clock.now += 0.01
        time.news()
    clock.now += 9
    assert time.silence is None
    clock.now += 2
    assert time.silence == 11


def test_the_time_left_does_not_count_a_sleep() -> None:
    clock = Clock()
    run = RunProgress(clock)
    chunks = list(range(10))
    run.add(Planned("r", "", "m", ["8"], chunks, {}, {"8": 1}, {"8": 1.0}, 2.0, 1, "cpu"))
    for chunk in range(5):
        clock.now += 4
        run.add(Progress(chunk, "8", 1, 1))
        run.add(ChunkScored("8", chunk, 1, 0.1, 0.1, 0.1, 0, 0.0, 0.0, 1.0))
    assert run.seconds_left == 20 and run.silence is None
    clock.now += 600
    assert run.silence == 600
    left = run.seconds_left
    assert left is not None and 18 <= left <= 30
