"""How long ranks of different pace take together, by a clock that is only counted."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.engine.outcomes import ScoreTask
from scorer.engine.rank_shares import Rates, cost_of
from scorer.engine.tiles import Batch

# A chunk under two settings, and the reference.
LANES = ("8", "4")
COST = 1 + len(LANES)


def seconds_of_run(
    speeds: Sequence[float], count: int, *, ahead: int = 1, alike: bool = True
) -> float:
    """Score chunks as :class:`~scorer.engine.rank_rounds.Rounds` does; return when all are scored.

    Args:
        speeds: Passes a second of each rank.
        count: Chunks, each a batch.
        ahead: Rounds that are dealt before the oldest one is gathered.
        alike: Whether they are of one machine.
    """
    ranks = range(len(speeds))
    rates = Rates(len(speeds), 1, alike=alike)
    ids = np.zeros((1, 4), np.int32)
    left = deque(ScoreTask(Batch((n,), ids, 0), list(LANES)) for n in range(count))  # type: ignore[arg-type]
    free = [0.0] * len(speeds)
    rounds: list[tuple[list[float], list[int]]] = []

    def deal(here: float, elsewhere: float) -> None:
        """Rank 0 has its share at once, the others have theirs when the exchange is over."""
        costs = [sum(map(cost_of, share)) for share in rates.deal(left, here)]
        rates.dealt(costs, here)
        for rank in ranks:
            began = max(free[rank], elsewhere if rank else here)
            free[rank] = began + costs[rank] / speeds[rank]
        rounds.append((list(free), costs))

    while left and len(rounds) < 1 + ahead:
        deal(0.0, 0.0)
    gathered = 0.0
    for ended, costs in rounds:
        took = [cost / speed for cost, speed in zip(costs, speeds, strict=True)]
        rates.round_took(took[0])
        rates.note(0, costs[0], 0, took[0])
        asked = max(ended[0], gathered)
        gathered = max(asked, *ended)
        if left:
            deal(asked, gathered)
        for rank in ranks[1:]:
            rates.note(rank, costs[rank], 0, took[rank])
        rates.round_took(max(took))
    return max(free)


def least_seconds(speeds: Sequence[float], count: int) -> float:
    """What it takes where nobody ever waits."""
    return COST * count / sum(speeds)


@pytest.mark.parametrize(
    ("speeds", "most"),
    [
        ((1 / 3, 1 / 3), 1.0),
        ((1, 1, 1), 1.05),
        # A round holds one batch for each rank, and less than one for the slower.
        ((1 / 3, 1 / 6), 1.05),
        ((1 / 6, 1 / 3), 1.05),
        ((1 / 3, 1 / 3.3), 1.02),
        ((1, 0.3), 1.08),
        ((0.3, 1), 1.1),
        ((20, 10, 10, 5), 1.1),
    ],
)
def test_a_slower_rank_hardly_holds_the_others_up(speeds: tuple[float, ...], most: float) -> None:
    assert seconds_of_run(speeds, 64) <= most * least_seconds(speeds, 64)


@given(st.lists(st.floats(0.05, 30), min_size=2, max_size=5), st.integers(1, 80))
def test_the_slowest_costs_the_others_three_of_its_batches_at_most(
    speeds: list[float], count: int
) -> None:
    took = seconds_of_run(speeds, count, alike=False)
    least = least_seconds(speeds, count)
    assert least * (1 - 1e-9) <= took <= 1.2 * least + 3 * COST / min(speeds)


def test_shares_that_an_earlier_score_left_open_count_no_more() -> None:
    rates = Rates(2, 1, alike=True)
    ids = np.zeros((1, 4), np.int32)
    for rank in (0, 1):
        rates.note(rank, 8, 0, 8.0)
    rates.round_took(8.0)
    rates.dealt([0, 20], 8.0)
    for expected in ([4, 0], [2, 2]):
        left = deque(ScoreTask(Batch((n,), ids, 0), list(LANES)) for n in range(4))  # type: ignore[arg-type]
        assert [len(share) for share in rates.deal(left, 8.0)] == expected
        rates.forget_open()


def test_where_rounds_are_not_dealt_ahead_what_is_open_counts_too() -> None:
    speeds = (1 / 6, 1 / 3)
    assert seconds_of_run(speeds, 64, ahead=0) <= 1.05 * least_seconds(speeds, 64)
