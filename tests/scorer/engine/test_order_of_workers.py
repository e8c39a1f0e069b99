"""What several threads tell, in which order, played from scripts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pytest
from deadline import DEADLINE
from worker_threads import workers_alive

from scorer.common.errors import Interrupted
from scorer.device.threads import Busy
from scorer.engine.outcomes import LaneFailed, Outcome, PassDone, Scored, ScoreTask
from scorer.engine.tiles import Batch
from scorer.engine.workers import Stop, Worker, Workers


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
    return Workers(lambda: made, len(made), stop, Scripted(stop, work))


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


def test_batches_are_scored_again_by_other_threads() -> None:
    """A rank scores as many batches as it is dealt, and more once they come."""
    failing = True

    def work(number: int, name: str) -> None:
        if failing and (number, name) == (1, "b"):
            raise ArithmeticError

    made = scripted(work)
    assert "b failed" in told(made.score(map(task, range(3))))
    failing = False
    # Nothing of the first time is left: neither what failed nor what was interrupted.
    assert told(made.score(map(task, range(4)))) == grid_order(4)
    begun = made.score(map(task, range(9)))
    next(begun)
    begun.close()  # type: ignore[attr-defined]
    assert told(made.score(map(task, range(2)))) == grid_order(2)
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
