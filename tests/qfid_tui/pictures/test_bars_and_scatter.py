"""Charts drawn as text: any data at any size, and each value where it belongs."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from qfid_tui.pictures.bars import (
    MEAN_SIGN,
    OTHER_SIGN,
    Bar,
    Mean,
    draw_bars,
    horizontal_bar,
    range_of,
    value_text,
)
from qfid_tui.pictures.canvas import Canvas, fitted
from qfid_tui.pictures.scale import Axis, log_axis
from qfid_tui.pictures.scatter import ScatterPoint, draw_scatter
from scorer.common.inert_text import inert

ANY = st.none() | st.floats()
TEXT = st.text(st.characters(codec=None), max_size=8)
VERDICTS = st.sampled_from(["good", "good?", "marginal", "bad", "bad?", "", "odd"])
POINTS = st.builds(
    ScatterPoint, TEXT, st.floats(), st.floats(), VERDICTS, st.booleans(), st.booleans()
)
SIZES = st.tuples(st.integers(1, 90), st.integers(1, 24))


def check(canvas: Canvas, width: int, height: int) -> None:
    assert canvas.height == height
    for y, row in enumerate(canvas.rows()):
        assert cell_len(row) == width
        assert "".join(text for text, _ in canvas.runs(y)) == row
        assert inert(row) == row


MEANS = st.lists(st.builds(Mean, st.floats(), ANY, ANY), max_size=2)


@given(st.lists(st.builds(Bar, ANY, TEXT, TEXT, ANY), max_size=60), SIZES, st.data())
def test_any_bars_at_any_size(bars: list[Bar], size: tuple[int, int], data: st.DataObject) -> None:
    cursor = data.draw(st.none() | st.integers(0, len(bars) - 1)) if bars else None
    picture = draw_bars(
        bars,
        *size,
        apart=data.draw(st.booleans()),
        linear=data.draw(st.booleans()),
        end_tick=data.draw(TEXT),
        cursor=cursor,
        means=data.draw(MEANS),
    )
    check(picture.canvas, *size)
    assert len(picture.spots) == len(bars)
    assert all(0 <= x < size[0] for x, _ in picture.spots)


@given(st.lists(POINTS, max_size=12), SIZES, st.data())
def test_any_points_at_any_size(
    points: list[ScatterPoint], size: tuple[int, int], data: st.DataObject
) -> None:
    cursor = data.draw(st.none() | st.integers(0, len(points) - 1)) if points else None
    picture = draw_scatter(points, *size, cursor)
    check(picture.canvas, *size)
    assert len(picture.spots) == len(points)


@given(st.lists(st.floats(1e-6, 10), min_size=1, max_size=8), st.integers(5, 24))
def test_bars_rise_with_their_values(values: list[float], height: int) -> None:
    picture = draw_bars([Bar(v, "", "") for v in values], 80, height, linear=True)
    rows = picture.canvas.rows()[:-2]
    heights = []
    for x, _ in picture.spots:
        cells = [row[x] for row in rows]
        heights.append(sum(" ▁▂▃▄▅▆▇█".index(cell) for cell in cells if cell in " ▁▂▃▄▅▆▇█"))
    for a, height_a in zip(values, heights, strict=True):
        for b, height_b in zip(values, heights, strict=True):
            assert height_a <= height_b or a > b
    assert max(heights) == 8 * len(rows)


def test_another_row_of_bars_is_marked_where_its_own_bars_would_end() -> None:
    bars = [Bar(1.0, "a", "", 4.0), Bar(2.0, "b", "", 3.0), Bar(4.0, "c", "", None)]
    bars += [Bar(3.0, "d", "", math.nan)]
    rows = draw_bars(bars, 40, 10, linear=True).canvas.rows()
    swapped = [Bar(bar.other, bar.tick, "") for bar in bars[:2]]
    other = draw_bars([*swapped, *bars[2:]], 40, 10, linear=True)
    for bar, (x, _) in zip(bars, other.spots, strict=True):
        marks = [y for y, row in enumerate(rows[:-2]) if row[x] == OTHER_SIGN]
        if bar.other is None or math.isnan(bar.other):
            assert not marks
        else:
            top = next(y for y, row in enumerate(other.canvas.rows()) if row[x] != " ")
            assert marks == [top]


def test_means_stand_at_the_right_with_their_intervals() -> None:
    bars = [Bar(value, "", "") for value in (2.0, 4.0, 8.0)]
    rows = draw_bars(
        bars, 40, 10, linear=True, means=[Mean(4.0, 2.0, 8.0), Mean(6.0)]
    ).canvas.rows()
    own, other = ([row[x] for row in rows[:-2]] for x in (37, 39))
    assert "".join(own) == "┬│││●│┴ "
    assert "".join(other) == "  ●     "
    # An interval beyond the bars has room; a negative end is cut at the axis.
    rows = draw_bars(bars, 40, 10, linear=True, means=[Mean(4.0, -3.0, 20.0)]).canvas.rows()
    own = [row[39] for row in rows[:-2]]
    assert own[0] == "┬" and own[-1] == "┴" and MEAN_SIGN in own
    low = draw_bars(bars, 40, 6, linear=True, means=[Mean(4.0, 2.0, 8.0)]).canvas.rows()
    assert MEAN_SIGN not in "".join(low)


POINT = st.builds(
    ScatterPoint,
    st.just("4"),
    st.floats(100, 1e6),
    st.floats(1e-7, 50),
    VERDICTS,
    st.booleans(),
    st.booleans(),
)


@given(st.lists(POINT, min_size=1, max_size=10))
def test_no_point_is_lost_and_places_follow_the_values(points: list[ScatterPoint]) -> None:
    picture = draw_scatter(points, 80, 20)
    rows = picture.canvas.rows()
    for point, (x, y) in zip(points, picture.spots, strict=True):
        assert y is not None and rows[y][x] in "◆◇●○"
        for other, (other_x, other_y) in zip(points, picture.spots, strict=True):
            assert other_y is not None
            if point.bytes_per_token <= other.bytes_per_token:
                assert x <= other_x
            if point.kl_mean <= other.kl_mean:
                assert y >= other_y


def points(*rows: tuple[str, float, float, str, bool]) -> list[ScatterPoint]:
    return [ScatterPoint(*row, earlier=False) for row in rows]


MEASURED = points(
    ("8", 12240, 0.000433, "good", True),
    ("6", 9360, 0.00617, "marginal", True),
    ("k8v4", 9360, 0.02, "marginal?", False),
    ("4", 6480, 0.132, "bad", True),
    ("3", 5040, 0.625, "bad", True),
    ("2", 3600, 3.86, "bad", True),
)


def test_the_scatter_of_a_real_run() -> None:
    assert [row.rstrip() for row in draw_scatter(MEASURED, 72, 14).canvas.rows()] == [
        "  10┤   2 ✗ 3.9",
        "    │  ◆──────────╮",
        "   1┤             │",
        "    │    3 ✗ 0.62 ◆─────────╮",
        "1e-1┤┄┄┄┄┄┄┄┄┄┄┄┄┄┄4 ✗ 0.13┄◆───────────────────╮┄┄┄┄┄┄┄ marginal ≤ 0.1",
        "    │                                           │",
        "    │                                           ● k8v4 ~? 0.02",
        "1e-2┤┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄6 ~ 0.0062┄◆────────────────────╮┄┄",
        "    │                                                                │",
        "1e-3┤                                                                │",
        "    │                                                    8 ✓ 0.00043 ◆",
        "1e-4┤",
        "    └─────┬─────────────┬──────────────┬─────────────┬─────────────┬────",
        "         4k            6k             8k            10k           12k",
    ]


@pytest.mark.parametrize("size", [(40, 10), (60, 12), (80, 24), (140, 45)])
def test_every_label_of_a_real_run_is_whole(size: tuple[int, int]) -> None:
    picture = draw_scatter(MEASURED, *size)
    text = "\n".join(picture.canvas.rows())
    assert picture.missing == []
    for point in MEASURED:
        assert f"{point.label} {point.shown_verdict[0]}" in text


def test_points_that_share_a_cell_are_all_named() -> None:
    same = points(*((name, 9000.0, 0.1, "bad", True) for name in ("6", "k8v4", "k4v8")))
    picture = draw_scatter([*MEASURED, *same], 80, 20)
    text = "\n".join(picture.canvas.rows())
    assert picture.missing == []
    assert "k8v4 ✗" in text and "k4v8 ✗" in text


def test_labels_without_room_are_told_by_name() -> None:
    crowd = points(*((f"setting{i}", 9000.0, 0.1, "bad", False) for i in range(30)))
    picture = draw_scatter(crowd, 40, 8)
    drawn = "\n".join(picture.canvas.rows())
    assert picture.missing
    assert all(point.label in drawn or point.label in picture.missing for point in crowd)


def test_values_without_a_logarithm_stand_at_the_ends() -> None:
    odd = points(
        ("0", 4000, 0.0, "bad", False),
        ("inf", 5000, math.inf, "bad", False),
        ("-", 6000, -1e-9, "bad", False),
        ("nan", 7000, math.nan, "bad", False),
        ("1", 8000, 1.0, "bad", False),
    )
    picture = draw_scatter(odd, 60, 12)
    assert [y for _, y in picture.spots] == [9, 0, 9, -1, 0]
    assert picture.missing == ["nan"]


def test_where_no_axis_fits_points_are_told_in_words() -> None:
    rows = draw_scatter(MEASURED, 30, 4, cursor=5).canvas.rows()
    assert rows[3].startswith("◆ 2     3\u202f600 B 3.86")
    # Half of 80 columns holds the verdicts too.
    assert all(row.rstrip()[-1] != "…" for row in draw_scatter(MEASURED, 38, 4).canvas.rows())
    assert draw_scatter(MEASURED, 1, 1).canvas.rows() == ["…"]


def test_bars_of_depth_with_ticks_values_and_cursor() -> None:
    spans = [(0, 0.14), (63, 0.07), (127, 0.035), (191, 0.0)]
    bars = [Bar(value, str(start), value_text(value)) for start, value in spans]
    rows = draw_bars(bars, 36, 8, end_tick="254", cursor=1).canvas.rows()
    assert [row.rstrip() for row in rows] == [
        "    │ 0.14",
        "    │██████",
        "0.10┤██████  0.07",
        "    │██████ ▄▄▄▄▄▄▄  0.035",
        "0.05┤██████ ███████ ▂▂▂▂▂▂▂    0",
        "   0┤██████ ███████ ███████ _______",
        "    └┬──────┬──▲────┬───────┬──────┬",
        "     0      63      127     191  254",
    ]


def test_bars_far_apart_stand_over_decades() -> None:
    bars = [Bar(value, "", "") for value in (1e-4, 1e-2, 1.0, 0.0, math.nan, math.inf)]
    rows = draw_bars(bars, 25, 7).canvas.rows()
    assert rows[0].startswith("   1┤")
    assert "1e-5" in rows[4] or "1e-4" in rows[4]
    assert "_" in rows[4] and "·" in rows[4] and "^" in rows[0]


def test_more_bars_than_columns_keep_the_largest() -> None:
    values = [0.1] * 500
    values[333] = 0.9
    picture = draw_bars([Bar(v, str(i), "") for i, v in enumerate(values)], 40, 6, apart=True)
    top = picture.canvas.rows()[0]
    assert top.count("█") == 1
    assert top.index("█") == picture.spots[333][0]


def test_a_click_finds_the_nearest_item() -> None:
    picture = draw_scatter(MEASURED, 72, 14)
    for i, (x, y) in enumerate(picture.spots):
        assert y is not None
        assert picture.nearest(x + 1, y) == i


def test_text_is_cut_with_a_sign_and_wide_characters_stay_whole() -> None:
    assert fitted("abcdef", 4) == "abc…"
    assert fitted("漢字漢字", 4) == "漢 …"
    assert fitted("漢字", 4) == "漢字"
    assert fitted("a\x1b[31m", 20) == "a␛[31m"


def test_ranges_and_values_in_words() -> None:
    assert range_of([0.5, math.nan, 0.25]) == "0.25 … 0.5"
    assert range_of([0.5]) == range_of([0.5, 0.5, math.nan]) == "0.5"
    assert range_of([math.nan]) == ""
    assert [value_text(v) for v in (0.1234, 4.31e-5, math.inf, math.nan, None)] == [
        "0.12",
        "4.3e-05",
        "∞",
        "NaN",
        "—",
    ]


@given(st.floats(), st.lists(st.floats(), max_size=4), st.integers(1, 60))
def test_any_horizontal_bar_has_room(value: float, values: list[float], width: int) -> None:
    bar = horizontal_bar(value, log_axis([value, *values], 2), width)
    assert cell_len(bar) <= width and bool(bar) is (value > 0)


@pytest.mark.parametrize(
    ("value", "bar"),
    [(1.0, "████"), (0.01, "██"), (1e-4, "▏"), (0.0316, "██▌"), (0.0, ""), (math.inf, "████")],
)
def test_a_horizontal_bar_is_as_long_as_its_value(value: float, bar: str) -> None:
    assert horizontal_bar(value, Axis(1e-4, 1.0, True, ()), 4) == bar


def test_the_cheapest_good_point_is_named_where_there_is_room_for_few() -> None:
    crowd = [
        ScatterPoint(f"long-name-{i}", 1000.0 + i, 0.004 * (1 + i / 9), "bad", True, False)
        for i in range(12)
    ]
    good = ScatterPoint("wanted", 1006.0, 0.0052, "good", False, False)
    picture = draw_scatter([*crowd, good], 34, 6)
    assert picture.missing and "wanted" not in picture.missing
