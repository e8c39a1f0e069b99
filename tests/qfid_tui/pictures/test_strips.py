from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qfid_tui.pictures.strips import (
    BLOCKS,
    StripScale,
    averaged,
    flips_scale,
    is_flat,
    kl_scale,
    range_text,
    row_scale,
    scale_label,
    strip,
)

ANY = st.none() | st.floats()
ROWS = st.lists(st.lists(ANY, max_size=12), max_size=5)
SCALES = ROWS.map(kl_scale) | ROWS.map(flips_scale)
DRIFT = StripScale(1e-4, 1.0, log=True)


def height_of(column: str) -> int:
    """Eighths of a cell that one column fills; floor and missing fill none."""
    return sum(BLOCKS.find(cell) if cell in BLOCKS else 0 for cell in column)


@given(st.lists(ANY, max_size=40), st.integers(-2, 30), st.integers(-2, 4), SCALES)
def test_any_values_at_any_size_fill_exactly_the_cells(
    values: list[float | None], width: int, height: int, scale: StripScale
) -> None:
    lines = strip(values, width, height, scale)
    assert len(lines) == max(height, 0)
    assert all(len(line) == max(width, 0) for line in lines)
    assert set("".join(lines)) <= set(BLOCKS + "_·^")


@given(st.floats(), st.floats(), st.integers(1, 4), SCALES)
def test_a_larger_value_is_never_drawn_lower(
    a: float, b: float, height: int, scale: StripScale
) -> None:
    low, high = sorted([a, b])
    if math.isfinite(low) and math.isfinite(high):
        columns = ["".join(strip([value], 1, height, scale)) for value in (low, high)]
        assert height_of(columns[0]) <= height_of(columns[1])


@given(ROWS)
def test_the_scale_of_kl_holds_every_value_above_zero_strictly_inside_whole_decades(
    rows: list[list[float | None]],
) -> None:
    scale = kl_scale(rows)
    for value in (value for row in rows for value in row):
        if value is not None and math.isfinite(value) and value > 1e-323:
            assert scale.low < value
            assert value <= scale.high or scale.high == 1e308
            assert "_" not in strip([value], 1, 1, scale)[0]
    for end in (scale.low, scale.high):
        assert end == float(f"1e{round(math.log10(end))}")


@pytest.mark.parametrize(
    ("rows", "label"),
    [
        ([[0.0003, 0.00031], [0.2]], "1e-4 … 1"),
        ([[0.12, 0.13]], "1e-1 … 1"),
        ([[0.1]], "1e-2 … 1e-1"),
        ([[1e-5], [30.0, math.inf, math.nan, -1.0, 0.0, None]], "1e-6 … 100"),
        ([[2000.0]], "1e3 … 1e4"),
        ([], "1e-4 … 1"),
        ([[], [0.0, -2.0, math.inf]], "1e-4 … 1"),
    ],
)
def test_the_decades_present_are_rounded_outward(
    rows: list[list[float | None]], label: str
) -> None:
    assert scale_label(kl_scale(rows)) == label


def test_each_decade_of_four_is_two_levels_of_one_cell() -> None:
    values = [1e-4, 2e-4, 1e-3, 2e-3, 1e-2, 2e-2, 1e-1, 2e-1, 1.0, 50.0]
    assert strip(values, 10, 1, DRIFT) == ["_▁▂▃▄▅▆▇██"]


def test_two_lines_have_sixteen_levels() -> None:
    assert strip([2e-4, 1e-2, 2e-2, 0.9, 0.0], 5, 2, DRIFT) == ["  ▂█ ", "▂███_"]


def test_what_has_no_height_has_a_sign_of_its_own() -> None:
    values = [0.0, -1e-7, 1e-9, -math.inf, math.nan, None, math.inf]
    assert strip(values, 7, 1, DRIFT) == ["____··^"]
    assert strip(values, 7, 2, DRIFT) == ["      ^", "____··█"]


def test_the_newest_stay_at_the_right_once_there_are_more_than_cells() -> None:
    assert strip([2e-4, 0.9], 4, 1, DRIFT) == ["▁█  "]
    assert strip([0.9, 0.9, 2e-4, 0.9], 2, 1, DRIFT) == ["▁█"]


def test_flips_rise_in_proportion_from_zero() -> None:
    rows: list[list[float | None]] = [[0, 1, 2, 4], [8, None]]
    scale = flips_scale(rows)
    assert strip([*rows[0], *rows[1]], 6, 1, scale) == ["_▁▂▄█·"]
    assert scale_label(scale) == "0 … 8"
    assert scale_label(flips_scale([[0.0]])) == "0 … 1"


@pytest.mark.parametrize(
    ("low", "high", "log"),
    [(0.0, 1.0, True), (1.0, 1.0, False), (2.0, 1.0, True), (math.nan, 1.0, False)],
)
def test_ends_that_are_no_scale_are_refused(low: float, high: float, log: bool) -> None:
    with pytest.raises(ValueError, match="no scale from"):
        StripScale(low, high, log)


def test_a_scale_of_its_own_draws_what_a_common_scale_draws_flat() -> None:
    row = [0.10, 0.11, 0.12, 0.13]
    common = kl_scale([row, [1e-4]])
    assert is_flat(row, common) and not is_flat(row, row_scale(row))
    assert strip(row, 4, 1, row_scale(row)) == ["▁▄▆█"]
    assert strip([0.0, 0.1], 2, 1, row_scale([0.0, 0.1])) == ["_█"]
    assert strip([0.2, 0.2], 2, 1, row_scale([0.2, 0.2])) == ["▄▄"]
    assert not is_flat([0.2, 0.2], common)


def test_ranges_name_the_least_and_the_largest_value() -> None:
    assert range_text([0.0811, 0.152, math.inf]) == "0.081–0.15"
    assert range_text([0.031, 0.094], percent=True) == "3.1–9.4 %"
    assert range_text([3.12e-4]) == "3.1e-4"
    assert range_text([math.nan]) == ""


def test_values_without_room_are_averaged_in_groups_of_neighbours() -> None:
    assert averaged([1.0, 3.0, 5.0, 7.0], 2) == [2.0, 6.0]
    assert averaged([1.0, math.nan, math.nan, math.nan], 2) == [1.0, None]
    assert averaged([1.0, 2.0], 2) == [1.0, 2.0]
