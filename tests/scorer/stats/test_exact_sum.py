"""Sums by exponent: ``math.fsum`` in every bit."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.stats import exact_sum as module
from scorer.stats.exact_sum import exact_sum

FINITE = st.floats(allow_nan=False, allow_infinity=False, width=64)


def sums_alike(values: list[float]) -> None:
    try:
        wanted = math.fsum(values)
    except (OverflowError, ValueError) as error:
        with pytest.raises(type(error)):
            exact_sum(np.array(values))
        return
    found = exact_sum(np.array(values))
    assert found == wanted or (math.isnan(found) and math.isnan(wanted))


@given(st.lists(FINITE, max_size=40))
def test_any_finite_numbers(values: list[float]) -> None:
    sums_alike(values)


@given(st.lists(st.floats(-1e-300, 1e-300) | st.sampled_from([5e-324, -5e-324]), max_size=40))
def test_subnormal_numbers(values: list[float]) -> None:
    sums_alike(values)


@pytest.mark.parametrize(
    "values",
    [
        [],
        [-0.0],
        [math.inf, 1.0],
        [math.inf, -math.inf],
        [math.nan, 1.0],
        [1.7e308, 1.7e308],
        [1.7e308, 1.7e308, -1.7e308],
        [1.0, 1e100, 1.0, -1e100],
        [1.0, 2.0**-53, 2.0**-106],
        [1.0, 2.0**-53, -(2.0**-106)],
    ],
)
def test_edges(values: list[float]) -> None:
    sums_alike(values)


def test_many_numbers_in_any_order_and_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.RandomState(0).lognormal(-8, 3, 20_000)
    values[::3] *= -1
    wanted = math.fsum(values.tolist())
    assert float(values.sum()) != wanted
    assert exact_sum(values) == wanted
    shuffled = values.tolist()
    random.Random(1).shuffle(shuffled)
    monkeypatch.setattr(module, "_BLOCK", 777)
    assert exact_sum(np.array(shuffled)) == wanted


def test_the_largest_significands_fill_no_bin() -> None:
    values = np.full(module._BLOCK, np.nextafter(2.0, 1.0))
    assert exact_sum(values) == math.fsum(values.tolist())
