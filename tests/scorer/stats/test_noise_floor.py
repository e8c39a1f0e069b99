"""The noise floor: standard deviations, their upper ends, and what older runs did not keep."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from scorer.stats.noise_floor import (
    NoiseOf,
    PerturbedRepeats,
    kept_positions,
    noise_floor,
    pooled_p99,
)
from scorer.stats.quantiles import quantile

# √(df / χ²(0.025, df)), from tables of χ²: 0.000982, 0.0506, 0.216, 1.690.
FACTORS = {2: 31.9, 3: 6.28, 4: 3.73, 8: 2.035}


def test_the_floor_is_the_sample_standard_deviation_of_the_means() -> None:
    sums = [(1.0, 2.0, 4.0), (3.0, 3.0, 2.0)]
    found = noise_floor([PerturbedRepeats(kl_sums=s) for s in sums], [10, 10])
    means = [(a + b) / 20 for a, b in zip(*sums, strict=True)]
    assert found is not None
    assert found.kl_mean.deviation == pytest.approx(statistics.stdev(means), rel=1e-12)
    # An older run kept no more than the sums.
    assert (found.repeats, found.kl_p99, found.flip_rate) == (3, None, None)
    assert found.upper("kl_p99") == 0 and found.upper("kl_mean") == found.kl_mean.upper


@pytest.mark.parametrize("repeats", FACTORS)
def test_the_upper_end_is_that_of_a_chi_square(repeats: int) -> None:
    found = noise_floor([PerturbedRepeats(kl_sums=tuple(map(float, range(repeats))))], [1])
    assert found is not None
    factor = found.kl_mean.upper / found.kl_mean.deviation
    assert factor == pytest.approx(FACTORS[repeats], rel=2e-3)


@pytest.mark.parametrize("sums", [[], [(1.0,)], [(1.0, 2.0), ()]])
def test_no_floor_without_two_repeats_of_every_chunk(sums: list[tuple[float, ...]]) -> None:
    assert noise_floor([PerturbedRepeats(kl_sums=s) for s in sums], [20] * len(sums)) is None


def test_p99_and_flips_are_those_of_the_pooled_positions() -> None:
    random = np.random.RandomState(4)
    kl = np.exp(2 * random.normal(size=(5, 6, 511)))  # repeats, chunks, positions
    flips = random.randint(0, 9, size=(5, 6))
    chunks = []
    for chunk in range(6):
        made = PerturbedRepeats()
        for repeat in range(5):
            made = made.and_one(kl[repeat, chunk], int(flips[repeat, chunk]))
        chunks.append(made)
    found = noise_floor(chunks, [511] * 6)
    assert found is not None and found.kl_p99 is not None and found.flip_rate is not None
    p99 = [quantile(kl[repeat].ravel(), 0.99) for repeat in range(5)]
    rates = [float(flips[repeat].sum()) / (6 * 511) for repeat in range(5)]
    means = [float(kl[repeat].mean()) for repeat in range(5)]
    for made_of, values in (
        (found.kl_p99, p99),
        (found.flip_rate, rates),
        (found.kl_mean, means),
    ):
        assert isinstance(made_of, NoiseOf)
        assert made_of.deviation == pytest.approx(np.std(values, ddof=1), rel=1e-9)


def test_of_a_chunk_the_largest_twentieth_is_kept() -> None:
    assert [kept_positions(n) for n in (1, 8, 9, 160, 511)] == [1, 8, 8, 8, 26]
    kl = np.random.RandomState(0).permutation(np.arange(511.0))
    (largest,) = PerturbedRepeats().and_one(kl, 3).largest
    assert largest == tuple(np.arange(510.0, 484.0, -1))


@pytest.mark.parametrize("size", [1, 2, 7, 200])
def test_the_pooled_quantile_of_few_positions(size: int) -> None:
    kl = np.random.RandomState(size).rand(3, size)
    largest = [sorted(row, reverse=True)[: kept_positions(size)] for row in kl.tolist()]
    assert pooled_p99(largest, 3 * size) == pytest.approx(quantile(kl.ravel(), 0.99), rel=1e-12)


def test_an_infinite_kl_has_no_spread() -> None:
    assert PerturbedRepeats().and_one(np.array([0.5]), 0).is_finite
    assert not PerturbedRepeats().and_one(np.array([math.inf]), 0).is_finite
