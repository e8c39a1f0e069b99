"""How batches are dealt to ranks."""

from __future__ import annotations

from collections import deque
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.engine.outcomes import ScoreTask
from scorer.engine.rank_shares import ROUND_SECONDS, Rates, cost_of, shares
from scorer.engine.tiles import Batch


def tasks(*lanes: int, chunks: int = 2) -> list[ScoreTask]:
    """Tasks of so many lanes each, of two chunks."""
    made = []
    for number, count in enumerate(lanes):
        indices = tuple(range(chunks * number, chunks * (number + 1)))
        batch = Batch(indices, np.zeros((chunks, 4), np.int32), 0)
        made.append(ScoreTask(batch, cast(Any, list(range(count)))))
    return made


@given(
    st.lists(st.integers(1, 9), max_size=40),
    st.lists(st.floats(0.1, 50), min_size=1, max_size=6),
)
def test_shares_are_the_tasks_in_order(lanes: list[int], rates: list[float]) -> None:
    given_tasks = tasks(*lanes)
    found = shares(given_tasks, rates)
    assert len(found) == len(rates)
    assert [task for share in found for task in share] == given_tasks


@pytest.mark.parametrize(
    ("count", "rates", "expected"),
    [
        (8, [1, 1], [4, 4]),
        (9, [1, 1], [4, 5]),
        (9, [2, 1], [6, 3]),
        (3, [1, 1, 1, 1], [0, 1, 1, 1]),
        (1, [10, 1], [1, 0]),
        (12, [3, 2, 1], [6, 4, 2]),
    ],
)
def test_shares_are_in_proportion(count: int, rates: list[float], expected: list[int]) -> None:
    assert list(map(len, shares(tasks(*[2] * count), rates))) == expected


def test_rounds_grow_with_what_is_known_and_deal_everything_once() -> None:
    rates = Rates(2, first=2)
    every = tasks(*[2] * 200)
    left = deque(every)
    dealt: list[ScoreTask] = []
    speeds = (6.0, 3.0)  # passes of chunks a second
    lengths = []
    found = rates.deal(left)
    while any(found):
        costs = [sum(map(cost_of, share)) for share in found]
        seconds = [cost / speed for cost, speed in zip(costs, speeds, strict=True)]
        dealt += [task for share in found for task in share]
        lengths.append((max(seconds), min(seconds), len(dealt)))
        rates.note(0, costs[0], 0, seconds[0])
        # Dealt before the other has said what it did.
        found = rates.deal(left) if left else []
        rates.round_took(max(seconds))
        rates.note(1, costs[1], 0, seconds[1])
    assert dealt == every
    assert [count for *_, count in lengths[:2]] == [4, 8]
    # The ranks wait for each other for less than a batch of the slower one.
    slowest = cost_of(every[0]) / min(speeds)
    assert all(most - least <= slowest for most, least, _ in lengths[4:])
    assert all(most <= ROUND_SECONDS * 1.6 + slowest for most, _, _ in lengths)


def test_one_slow_round_is_no_change_of_pace() -> None:
    rates = Rates(2, first=1)
    for rank, slow in ((0, 9.0), (1, 1.0)):
        rates.note(rank, 10, 5, 1.0)
        rates.note(rank, 10, 5, slow)
        rates.note(rank, 0, 1, rank)
    rates.round_took(10.0)
    found = rates.deal(deque(tasks(*[2] * 6)))
    assert list(map(len, found)) == [2, 4]
    assert rates.cells == [11, 11]


def test_shares_that_are_done_at_once_are_no_change_of_pace() -> None:
    """Of two batches beside each other, the later one can be done first, and is told second."""
    rates = Rates(2, first=1)
    for seconds in (1.0, 1.9, 0.0001, 1.9, 0.0001):
        rates.note(0, 10, 5, seconds)
        rates.note(1, 10, 5, 1.0)
    rates.round_took(10.0)
    assert list(map(len, rates.deal(deque(tasks(*[2] * 8))))) == [4, 4]
    assert rates.recent(0) == (10, pytest.approx(1.9, abs=0.01)) and rates.recent(1) == (10, 2.0)


def test_ranks_of_one_machine_count_as_equally_fast_until_they_have_said_more() -> None:
    for alike, expected in ((True, [8, 8]), (False, [2, 2])):
        rates = Rates(2, first=2, alike=alike)
        rates.note(0, 12, 0, 1.0)
        rates.round_took(4.0)
        assert list(map(len, rates.deal(deque(tasks(*[2] * 16))))) == expected


def test_the_last_rounds_are_shorter_where_saving_them_takes_time() -> None:
    rates = Rates(2, first=2, alike=True, tapered=True)
    left = deque(tasks(*[2] * 100))  # three chunks of passes a batch
    cost = cost_of(left[0])
    counts = []
    while left:
        found = rates.deal(left)
        counts.append(sum(map(len, found)))
        for rank, share in enumerate(found):
            rates.note(rank, len(share) * cost, 0, len(share) / 8)
        rates.round_took(counts[-1] / 16)
    # Two ranks at eight batches a second, none of the rounds below 0.3 s but the rest.
    assert counts == [4, 12, 36, 24, 12, 6, 6]
