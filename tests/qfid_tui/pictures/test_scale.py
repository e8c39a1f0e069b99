from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfid_tui.pictures.scale import Axis, decades, fraction, linear_axis, log_axis, power_of_ten

ANY = st.lists(st.none() | st.floats(), max_size=20)
ROOM = st.integers(-1, 40)


def check(axis: Axis, values: list[float | None], most_ticks: int) -> None:
    assert axis.low < axis.high
    assert math.isfinite(axis.low) and math.isfinite(axis.high)
    ticks = [value for value, _ in axis.ticks]
    assert 1 <= len(ticks) <= max(most_ticks, 2) + 1
    assert all(a < b for a, b in itertools.pairwise(ticks))
    assert all(axis.low <= tick <= axis.high for tick in ticks)
    assert all(text and text.isprintable() for _, text in axis.ticks)


@given(ANY, ROOM)
def test_any_values_have_a_logarithmic_axis(values: list[float | None], room: int) -> None:
    axis = log_axis(values, room)
    check(axis, values, room)
    for value in values:
        if value is not None and math.isfinite(value) and value > 0:
            assert axis.low <= value and (value <= axis.high or axis.high == 1e308)


@given(ANY, ROOM, st.booleans())
def test_any_values_have_a_linear_axis(
    values: list[float | None], room: int, from_zero: bool
) -> None:
    axis = linear_axis(values, room, from_zero=from_zero)
    check(axis, values, room)
    for value in values:
        if value is not None and math.isfinite(value) and (value >= 0 or not from_zero):
            assert axis.low <= value <= axis.high


@given(st.floats(), st.floats(), ANY, st.integers(1, 80), st.booleans())
def test_larger_values_are_never_placed_lower(
    a: float, b: float, values: list[float | None], steps: int, log: bool
) -> None:
    axis = log_axis(values, 9) if log else linear_axis(values, 9)
    low, high = sorted([a, b])
    if math.isfinite(low) and math.isfinite(high):
        places = axis.place(low, steps), axis.place(high, steps)
        assert 0 <= places[0] <= places[1] < steps


@given(st.floats(1e-300, 1e300), st.floats(1.0001, 1e6))
def test_a_value_half_way_by_ratio_is_half_way_on_the_logarithmic_axis(
    low: float, ratio: float
) -> None:
    middle, high = low * ratio, low * ratio * ratio
    if math.isfinite(high):
        assert fraction(middle, low, high, log=True) == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ([0.5], (-1, 0)),
        ([1.0], (-1, 0)),
        ([1e-4], (-5, -4)),
        ([0.00043, 3.86], (-4, 1)),
        ([5e-324, 1.7e308], (-323, 308)),
        ([5e-324], (-323, -322)),
        ([0.0, -1.0, math.inf, math.nan, None], None),
    ],
)
def test_decades_are_rounded_outward(
    values: list[float | None], found: tuple[int, int] | None
) -> None:
    assert decades(values) == found


def test_powers_of_ten_are_the_nearest_floats() -> None:
    assert power_of_ten(-5) == 1e-5 and power_of_ten(-323) == 1e-323


def ticks(axis: Axis) -> list[str]:
    return [text for _, text in axis.ticks]


def test_ticks_are_round_numbers_inside_the_axis() -> None:
    assert ticks(linear_axis([3600, 12240], 8)) == ["4k", "6k", "8k", "10k", "12k"]
    assert ticks(linear_axis([3600, 12240], 3)) == ["5k", "10k"]
    assert ticks(linear_axis([0.112, 0.154], 4, from_zero=True)) == ["0", "0.05", "0.10", "0.15"]
    assert ticks(linear_axis([1530], 4, from_zero=True)) == ["0", "500", "1k", "1.5k"]
    assert ticks(log_axis([0.00043, 3.86], 6)) == ["1e-4", "1e-3", "1e-2", "1e-1", "1", "10"]
    assert ticks(log_axis([0.00043, 3.86], 3)) == ["1e-3", "1e-1", "10"]


def test_the_axis_of_bars_runs_from_zero_to_the_largest() -> None:
    axis = linear_axis([0.112, 0.154], 4, from_zero=True)
    assert (axis.low, axis.high) == (0.0, 0.154)


def test_points_keep_a_little_room_at_both_ends() -> None:
    axis = linear_axis([3600, 12240], 8)
    assert axis.low < 3600 and axis.high > 12240
    assert axis.low > 3000 and axis.high < 13000
