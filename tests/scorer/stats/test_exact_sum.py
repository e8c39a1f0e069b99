"""Sums in parts: ``math.fsum`` in every bit."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.stats import exact_sum as module
from scorer.stats.exact_sum import exact_row_sums, exact_sum

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


@given(st.integers(1, 9), st.integers(1, 5), st.data())
def test_sums_of_rows_are_those_of_each_row(n: int, m: int, data: st.DataObject) -> None:
    some = FINITE | st.sampled_from([0.0, -0.0, 5e-324, math.inf, 1.7e308])
    rows = data.draw(st.lists(st.lists(some, min_size=n, max_size=n), min_size=m, max_size=m))
    try:
        wanted = [math.fsum(row) for row in rows]
    except (OverflowError, ValueError) as error:
        with pytest.raises(type(error)):
            exact_row_sums(np.array(rows))
        return
    assert exact_row_sums(np.array(rows)) == wanted


@pytest.mark.parametrize(("m", "n"), [(300, 511), (2, 40_000), (0, 7), (3, 0)])
def test_sums_of_many_rows_in_blocks(m: int, n: int) -> None:
    rows = np.random.RandomState(0).lognormal(-8, 3, (m, n))
    rows[::2, ::3] *= -1
    assert exact_row_sums(rows) == [math.fsum(row) for row in rows.tolist()]
