"""The intervals of a look, each against one that is found by brute force in float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from scorer.stats.intervals import Interval, Units
from scorer.stats.look_intervals import LookValues, look_intervals, mean_on_log, p99_interval
from scorer.stats.student_t import t_quantile
from scorer.stats.summary_values import ChunkSums

Floats = NDArray[np.float64]

LENGTH = 40
CONFIDENCE = 0.999


def drawn(seed: int, units: int = 12, chunks: int = 40) -> tuple[Floats, NDArray[np.intp]]:
    """KL of some chunks, (chunks, LENGTH), and the unit of each chunk; every unit occurs."""
    random = np.random.RandomState(seed)
    owner = np.concatenate([np.arange(units), random.randint(0, units, chunks - units)])
    factor = np.exp(0.4 * random.normal(size=units)[owner] + 0.3 * random.normal(size=chunks))
    return factor[:, None] * np.exp(1.5 * random.normal(size=(chunks, LENGTH))), owner


def values_of(kl: Floats, owner: NDArray[np.intp]) -> LookValues:
    return LookValues(kl.ravel(), np.repeat(owner, kl.shape[1]), np.bincount(owner) * kl.shape[1])


def sums_of(kl: Floats, flips: NDArray[np.int_]) -> ChunkSums:
    return ChunkSums(
        chunks=tuple(range(len(kl))),
        sizes=(kl.shape[1],) * len(kl),
        kl=tuple(kl.sum(axis=1).tolist()),
        flips=tuple(flips.tolist()),
        nll_difference=(0.0,) * len(kl),
        kl_squares=tuple(np.square(kl).sum(axis=1).tolist()),
    )


def clustered_error(values: Floats, owner: NDArray[np.intp]) -> tuple[float, float]:
    """Mean and CR1 standard error of (chunks, T) values, term by term."""
    mean = float(values.mean())
    units = sorted(set(owner.tolist()))
    squares = 0.0
    for unit in units:
        squares += sum(v - mean for v in values[owner == unit].ravel().tolist()) ** 2
    return mean, math.sqrt(len(units) / (len(units) - 1) * squares) / values.size


def wilson_holds(share: float, values: Floats, owner: NDArray[np.intp], effect: float) -> bool:
    """Whether Wilson's interval of the share of ones holds 1 %, by solving its quadratic."""
    p, error = clustered_error(values, owner)
    if 0 < p < 1:
        effect = error**2 / (p * (1 - p) / values.size)
    n = max(1.0, values.size / max(1.0, effect))
    t = t_quantile((1 + CONFIDENCE) / 2, len(set(owner.tolist())) - 1)
    a, b, c = 1 + t * t / n, -(2 * p + t * t / n), p * p
    root = math.sqrt(max(0.0, b * b - 4 * a * c))
    return (-b - root) / (2 * a) <= share <= (-b + root) / (2 * a)


@pytest.mark.parametrize("seed", range(6))
def test_p99_is_inverted_value_by_value(seed: int) -> None:
    kl, owner = drawn(seed)
    if seed % 2:
        # Ties, as of few distinct values.
        kl = np.round(kl, 1)
    at = np.sort(kl.ravel())[::-1][int(0.01 * kl.size)]
    p, error = clustered_error((kl > at).astype(float), owner)
    effect = error**2 / (p * (1 - p) / kl.size)
    ordered = np.unique(kl)
    held = [wilson_holds(0.01, (kl > t).astype(float), owner, effect) for t in ordered]
    first, last = held.index(True), len(held) - 1 - held[::-1].index(True)
    above = math.inf if last + 1 == len(ordered) else float(ordered[last + 1])
    found = p99_interval(values_of(kl, owner), CONFIDENCE)
    assert found == Interval(float(ordered[first]), above)
    assert found.low < float(np.quantile(kl, 0.99)) < found.high


def test_values_far_below_the_p99_may_be_left_out() -> None:
    kl, owner = drawn(3, units=30, chunks=200)
    every = values_of(kl, owner)
    taken = every.kl > np.quantile(kl, 0.7)
    some = LookValues(every.kl[taken], every.unit_of[taken], every.sizes)
    assert p99_interval(some, 0.99) == p99_interval(every, 0.99)


def test_p99_is_open_to_both_sides_where_nothing_is_seen_beyond() -> None:
    kl, owner = drawn(1, units=5, chunks=5)
    found = p99_interval(values_of(kl, owner), 1 - 1e-9)
    assert found == Interval(0.0, math.inf)


def test_a_mean_that_differs_by_document_alone_leaves_p99_its_end() -> None:
    """Nothing above the largest value is no reason for an open end: the tail is spread evenly."""
    owner = np.arange(200) % 20
    level = 1 + 0.2 * (np.arange(20) % 2)[owner]
    random = np.random.RandomState(3)
    kl = level[:, None] * (1 + 1e-3 * random.random_sample((200, LENGTH)))
    kl[np.arange(200), random.randint(0, LENGTH, 200)] = 10 + random.random_sample(200)
    found = p99_interval(values_of(kl, owner), 0.9999)
    assert 10 < found.low < found.high < 11


def test_values_that_are_all_equal_have_no_interval() -> None:
    kl = np.full((40, LENGTH), 0.25)
    found = p99_interval(values_of(kl, np.arange(40) % 8), 0.9999)
    assert found.high == math.inf


def test_an_infinite_kl_is_above_every_threshold() -> None:
    kl, owner = drawn(2)
    kl[:, 0] = math.inf
    found = p99_interval(values_of(kl, owner), CONFIDENCE)
    assert math.isinf(found.high)
    ends = look_intervals(
        sums_of(kl, np.ones(len(kl), int)), values_of(kl, owner), _units(owner), CONFIDENCE
    )
    assert ends["kl_mean"] == Interval(math.inf, math.inf)


def _units(owner: NDArray[np.intp]) -> Units:
    return Units("document", tuple(owner.tolist()), len(set(owner.tolist())), 12)


def test_the_mean_is_symmetric_on_its_logarithm() -> None:
    kl, owner = drawn(4)
    mean, error = clustered_error(kl, owner)
    t = t_quantile((1 + CONFIDENCE) / 2, 11)
    found = look_intervals(
        sums_of(kl, np.arange(len(kl)) % 3), values_of(kl, owner), _units(owner), CONFIDENCE
    )
    ends = found["kl_mean"]
    assert ends is not None
    assert ends.low == pytest.approx(math.exp(math.log(mean) - t * error / mean), rel=1e-12)
    assert ends.high == pytest.approx(math.exp(math.log(mean) + t * error / mean), rel=1e-12)


def test_flips_hold_the_shares_that_wilsons_test_accepts() -> None:
    kl, owner = drawn(5)
    flips = np.zeros(kl.shape)
    flips[::3, :2] = 1
    counts = flips.sum(axis=1).astype(int)
    ends = look_intervals(sums_of(kl, counts), values_of(kl, owner), _units(owner), CONFIDENCE)[
        "flip_rate"
    ]
    assert ends is not None
    p, error = clustered_error(flips, owner)
    n = flips.size / max(1.0, error**2 / (p * (1 - p) / flips.size))
    t = t_quantile((1 + CONFIDENCE) / 2, 11)
    for end in (ends.low, ends.high):
        assert abs(p - end) == pytest.approx(t * math.sqrt(end * (1 - end) / n), rel=1e-9)


def test_no_flips_have_an_interval_that_begins_at_0() -> None:
    kl, owner = drawn(6)
    found = look_intervals(
        sums_of(kl, np.zeros(len(kl), int)), values_of(kl, owner), _units(owner), CONFIDENCE
    )
    ends = found["flip_rate"]
    assert ends is not None and ends.low == 0 < ends.high < 1


def test_fewer_than_five_units_have_no_interval() -> None:
    kl, owner = drawn(7, units=4)
    found = look_intervals(
        sums_of(kl, np.ones(len(kl), int)), values_of(kl, owner), _units(owner), CONFIDENCE
    )
    assert set(found.values()) == {None}


def test_equal_units_have_no_width_and_no_interval() -> None:
    kl = np.full((20, LENGTH), 0.5)
    owner = np.arange(20)
    found = look_intervals(
        sums_of(kl, np.zeros(20, int)), values_of(kl, owner), _units(owner), CONFIDENCE
    )
    assert found["kl_mean"] is None
    assert mean_on_log(None, CONFIDENCE) is None
