"""Wilson's interval: published values, its defining equation, and effective sizes by hand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.stats.intervals import ClusteredMean, clustered_mean, units_of
from scorer.stats.proportions import Proportion, design_effect, proportion
from scorer.stats.student_t import t_quantile


@pytest.mark.parametrize(
    ("counted", "size", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17, 1998, table I: Wilson's score method.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_published_intervals(counted: int, size: int, low: float, high: float) -> None:
    found = Proportion(counted / size, size, 2001).interval()
    assert found.low == pytest.approx(low, abs=3e-4)
    assert found.high == pytest.approx(high, abs=3e-4)


@given(st.floats(0, 1), st.floats(1, 1e6), st.integers(2, 300))
def test_its_ends_are_as_far_as_t_standard_errors(share: float, size: float, units: int) -> None:
    made = Proportion(share, size, units)
    found = made.interval()
    assert 0 <= found.low <= share <= found.high <= 1
    assert found.low < found.high
    t = t_quantile(0.975, units - 1)
    for end in (found.low, found.high):
        if 1e-9 < end < 1 - 1e-9:
            assert abs(end - share) == pytest.approx(t * made.error_at(end), rel=1e-6, abs=1e-9)


def test_nothing_counted_and_everything_counted_still_have_an_interval() -> None:
    z = t_quantile(0.975, 9)
    none, every = Proportion(0.0, 50, 10).interval(), Proportion(1.0, 50, 10).interval()
    assert none.low == 0 and none.high == pytest.approx(z * z / (50 + z * z), rel=1e-12)
    assert every.high == 1 and every.low == pytest.approx(1 - none.high, rel=1e-12)


def test_the_design_effect_is_the_variance_over_that_of_independent_positions() -> None:
    """Four chunks of 10 positions with 0, 0, 4 and 4 flips: all that varies is between chunks.

    share 0.2, variance of the mean by chunk 4/3 · (4 · 2²) / 40² = 1/75, by independent positions
    0.2 · 0.8 / 40 = 1/250: effect 10/3, worth 12 positions.
    """
    units = units_of(range(4), {})
    counted = clustered_mean([0, 0, 4, 4], [10] * 4, units)
    found = proportion(counted, 40, None, math.inf)
    assert found is not None
    assert found.effective_size == pytest.approx(12)
    assert (found.share, found.units) == (0.2, 4)


def test_chunks_more_alike_than_chance_count_no_more_than_their_positions() -> None:
    units = units_of(range(4), {})
    found = proportion(clustered_mean([2] * 4, [10] * 4, units), 40, None, math.inf)
    assert found is not None and found.effective_size == 40


@pytest.mark.parametrize("flips", [0, 10])
def test_without_flips_or_with_nothing_else_the_design_effect_is_that_of_kl(flips: int) -> None:
    units = units_of(range(4), {})
    counted = clustered_mean([flips] * 4, [10] * 4, units)
    kl = clustered_mean([0.0, 0.0, 4.0, 4.0], [10] * 4, units)
    # KL is 0 or 0.4 throughout a chunk: mean 0.2, sum of squares 20 · 0.16, variance 0.04.
    found = proportion(counted, 40, kl, 20 * 0.16)
    assert kl is not None and found is not None
    assert design_effect(kl, 0.04, 40) == pytest.approx((16 / 75 / 16) / (0.04 / 40))
    assert found.effective_size == pytest.approx(40 / design_effect(kl, 0.04, 40))
    endless = proportion(counted, 40, None, math.inf)
    assert endless is not None and endless.effective_size == 4


def test_a_position_is_the_least_it_is_worth() -> None:
    found = proportion(ClusteredMean(0.5, 0.9, 2), 4, None, 0.0)
    assert found is not None and found.effective_size == 1
    assert proportion(None, 4, None, 0.0) is None
