"""Intervals of shares and of paired differences, against an oracle and in coverage."""

from __future__ import annotations

import math
import random
from statistics import NormalDist

import pytest
from oracle_paired import mcnemar, paired_interval, score_interval, table_probabilities

from scorer.stats.paired_shares import PairedCounts, together, wilson


@pytest.mark.parametrize(("count", "n"), [(0, 1), (1, 1), (0, 20), (7, 20), (20, 20), (999, 1000)])
def test_wilsons_interval_is_where_the_score_test_accepts(count: int, n: int) -> None:
    found = wilson(count, n)
    assert (found.low, found.high) == pytest.approx(score_interval(count, n), abs=1e-12)
    assert found.holds(count / n)


def test_the_interval_of_a_difference_is_newcombes() -> None:
    """His example, Table III, of 1998: 36 and 12, 2 and 0."""
    found = PairedCounts(36, 12, 2, 0).interval()
    assert (-found.high, -found.low) == pytest.approx((0.0569, 0.3404), abs=5e-5)


def test_the_interval_of_a_difference_agrees_with_the_oracle() -> None:
    choose = random.Random(3)
    for _ in range(200):
        n = choose.randrange(1, 60)
        share, moved = choose.random(), choose.random()
        first = [choose.random() < share for _ in range(n)]
        second = [choose.random() < share if choose.random() < moved else each for each in first]
        pairs = list(zip(first, second, strict=True))
        counts = PairedCounts(
            pairs.count((True, True)),
            pairs.count((True, False)),
            pairs.count((False, True)),
            pairs.count((False, False)),
        )
        low, high = paired_interval(first, second)
        found = counts.interval()
        assert (found.low, found.high) == pytest.approx((max(low, -1), min(high, 1)), abs=1e-9), (
            counts
        )
        assert found.low - 1e-12 <= counts.difference <= found.high + 1e-12


def test_no_item_that_differs_still_has_a_width() -> None:
    found = PairedCounts(100, 0, 0, 50).interval()
    assert found.low < 0 < found.high and found.high < 0.02
    assert PairedCounts(100, 0, 0, 0).interval().low < 0


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (3, 3), (2, 7), (9, 1), (0, 12)])
def test_mcnemars_test_is_exact(first: int, second: int) -> None:
    assert PairedCounts(5, first, second, 1).p_value() == pytest.approx(mcnemar(first, second))


def test_mcnemars_test_takes_any_number_of_items() -> None:
    z = (2100 - 1920 - 1) / math.sqrt(2100 + 1920)
    approximate = 2 * NormalDist().cdf(-z)
    assert PairedCounts(0, 2100, 1920, 0).p_value() == pytest.approx(approximate, rel=0.01)
    assert PairedCounts(0, 9000, 0, 0).p_value() == 0.0
    assert math.isfinite(PairedCounts(10**6, 5, 5, 0).p_value())


@pytest.mark.parametrize(
    "p", [(0.45, 0.05, 0.05, 0.45), (0.6, 0.12, 0.06, 0.22), (0.25, 0.25, 0.25, 0.25)]
)
def test_the_interval_covers(p: tuple[float, float, float, float]) -> None:
    """Summed over every table of 28 items; Newcombe found 0.95 on average, some cases below."""
    true, covered = p[2] - p[1], 0.0
    for a, b, c, d, probability in table_probabilities(28, p):
        if PairedCounts(a, b, c, d).interval().holds(true):
            covered += probability
    assert 0.935 <= covered <= 0.995


def test_several_intervals_hold_at_once() -> None:
    assert together(1) == 0.95 and together(5) == pytest.approx(0.99)
    counts = PairedCounts(60, 20, 6, 14)
    alone, five = counts.interval(), counts.interval(together(5))
    assert five.low < alone.low < alone.high < five.high
    wide = wilson(7, 20, 0.99)
    assert (wide.low, wide.high) == pytest.approx(score_interval(7, 20, 0.99), abs=1e-12)
