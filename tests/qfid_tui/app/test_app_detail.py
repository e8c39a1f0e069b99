"""The detail screen and its charts, in an app of their own."""

from __future__ import annotations

import random

import pytest
from detail_pilot import Detail, compared, driven, lines, loaded, saved_detail, screen_of, until
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from textual.app import App, ComposeResult
from textual.geometry import Size
from textual.pilot import Pilot

from qfid_tui.app.screens.detail import DetailScreen
from qfid_tui.app.screens.inspector import InspectorScreen
from qfid_tui.app.widgets.chart import Chart
from qfid_tui.app.widgets.chunk_chart import ChunkChart
from qfid_tui.app.widgets.depth_chart import DepthChart
from qfid_tui.app.widgets.histogram import Histogram
from qfid_tui.app.widgets.scatter import Scatter, ScatterPoint
from qfid_tui.app.widgets.tail_list import TailList
from qfid_tui.state.chart_points import FrontierChart

SIZES = [(80, 24), (140, 45)]
THEMES = ["textual-dark", "textual-light"]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


class Charts(App[None]):
    CSS = "Scatter, Histogram { border: round $panel; }"

    def __init__(self, theme: str = "textual-dark", *, data: bool = True) -> None:
        super().__init__()
        self._wanted, self._data = theme, data

    def compose(self) -> ComposeResult:
        yield Scatter()
        yield DepthChart()
        yield ChunkChart()
        yield Histogram()

    def on_mount(self) -> None:
        self.theme = self._wanted
        if self._data:
            fill(self)


def fill(app: App[None]) -> None:
    rows = [
        ("8", 12240, 0.00043, "good", True, False),
        ("6", 9360, 0.0062, "marginal", True, False),
        ("k8v4", 9360, 0.02, "marginal?", False, False),
        ("4:32", 7200, 0.1, "bad", True, True),
        ("4", 6480, 0.132, "bad", True, False),
        ("2", 3600, 3.86, "bad", True, False),
    ]
    points = tuple(ScatterPoint(*row) for row in rows)
    app.query_one(Scatter).show(FrontierChart(points, n_chunks=32))
    seeded = random.Random(7)
    spans = [(i * 64, i * 64 + 64, seeded.uniform(0.1, 0.16)) for i in range(8)]
    app.query_one(DepthChart).show("4", spans)
    chunks = [(9 + 18 * i, 0.13 * seeded.lognormvariate(0, 0.3)) for i in range(32)]
    app.query_one(ChunkChart).show("4", chunks)
    edges = [10 ** (step / 4) for step in range(-20, 5)]
    counts = [int(800 * 2.7 ** (-(((i - 14) / 4) ** 2))) for i in range(24)]
    app.query_one(Histogram).show("4", edges, counts, nonpositive=5, infinite=1)


@pytest.fixture
def saved() -> str:
    return saved_detail()


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x45"])
def test_snapshot_of_the_charts(snap_compare: object, size: tuple[int, int], theme: str) -> None:
    async def pick(pilot: Pilot[None]) -> None:
        pilot.app.query_one(DepthChart).focus()
        await pilot.press("right", "right")

    assert callable(snap_compare)
    assert snap_compare(Charts(theme), terminal_size=size, run_before=pick)


def test_snapshot_of_empty_charts(snap_compare: object) -> None:
    assert callable(snap_compare)
    assert snap_compare(Charts(data=False), terminal_size=(80, 24))


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x45"])
def test_snapshot_of_the_detail_screen(
    snap_compare: object, saved: str, size: tuple[int, int], theme: str
) -> None:
    async def wait(pilot: Pilot[None]) -> None:
        await until(pilot, loaded(pilot.app))

    assert callable(snap_compare)
    assert snap_compare(Detail(theme, saved), terminal_size=size, run_before=wait)


@driven
async def test_settings_are_gone_through_with_brackets(saved: str) -> None:
    app = Detail(run=saved)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        await pilot.press("right_square_bracket")
        await until(pilot, loaded(app, "2"))
        assert screen_of(app).check_action("setting", (1,)) is None
        for setting in ("4", "6", "8", "8"):
            await pilot.press("left_square_bracket")
            await until(pilot, loaded(app, setting))
        await pilot.press("escape")
        assert app.return_code == 0


@pytest.mark.parametrize("size", SIZES, ids=["80x24", "140x45"])
def test_snapshot_of_two_settings(snap_compare: object, saved: str, size: tuple[int, int]) -> None:
    async def compare(pilot: Pilot[None]) -> None:
        await until(pilot, loaded(pilot.app))
        await pilot.press("c", "c")
        await until(pilot, compared(pilot.app, "4, ━ 6"))
        await pilot.press("tab", "right")

    assert callable(snap_compare)
    assert snap_compare(Detail(run=saved), terminal_size=size, run_before=compare)


@pytest.mark.parametrize("key", ["z", pytest.param("enter", marks=pytest.mark.slow)])
@driven
async def test_every_panel_is_enlarged_and_left_with_escape(saved: str, key: str) -> None:
    app = Detail(run=saved)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        seen = []
        for _ in range(5):
            panel = screen_of(app).focused
            assert panel is not None
            seen.append(panel.id)
            small = panel.size
            await pilot.press(key)
            await until(pilot, lambda panel=panel: panel.size.height > 18)  # type: ignore[misc]
            assert app.screen.maximized is panel
            await pilot.press("escape")
            await until(pilot, lambda panel=panel, small=small: panel.size == small)  # type: ignore[misc]
            assert app.screen.maximized is None
            await pilot.press("tab")
        assert seen == ["headline", "chunks", "depth", "histogram", "tail"]


@driven
async def test_the_cursor_reads_every_bar_in_words(saved: str) -> None:
    app = Detail(run=saved)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        chart = app.screen.query_one(ChunkChart)
        chart.focus()
        for chunk, key in (
            (3, "right"),
            (9, "l"),
            (3, "h"),
            (33, "end"),
            (27, "left"),
            (3, "home"),
        ):
            await pilot.press(key)
            assert chart.chunk == chunk
            assert f"chunk {chunk}: " in str(chart.border_subtitle)
            assert "▲" in lines(chart)[-2]


@driven
async def test_clicks_pick_bars_and_lines(saved: str) -> None:
    app = Detail(run=saved)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        chart, tail = app.screen.query_one(ChunkChart), app.screen.query_one(TailList)
        await pilot.click(chart, offset=(chart.size.width - 3, 3))
        assert chart.chunk is not None and chart.chunk >= 27
        first = tail.picked
        await pilot.click(tail, offset=(5, 3))
        assert tail.picked is not first


@driven
async def test_the_tail_is_walked_by_arrows_and_letters(saved: str) -> None:
    app = Detail(run=saved)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        tail = app.screen.query_one(TailList)
        tail.focus()
        values = []
        for key in ("home", "j", "down", "pagedown", "end"):
            await pilot.press(key)
            assert tail.picked is not None
            values.append(tail.picked.kl)
        assert values == sorted(values, reverse=True) and len(set(values)) == 5
        await pilot.press("k", "up", "pageup")
        assert tail.picked is not None and tail.picked.kl > values[-1]
        shown = "\n".join(lines(tail))
        assert f"{tail.picked.position}" in shown and "▸" in shown


@driven
async def test_the_inspector_opens_at_the_chunk_that_is_picked(saved: str) -> None:
    app = Detail(run=saved)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        app.screen.query_one(ChunkChart).focus()
        await pilot.press("end", "i")
        await until(pilot, lambda: isinstance(app.screen, InspectorScreen))
        await until(pilot, lambda: "chunk 33" in app.export_screenshot().replace("&#160;", " "))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, DetailScreen))


@driven
async def test_a_run_that_cannot_be_read_is_said_in_the_screen() -> None:
    app = Detail(run="no-such-run")
    async with app.run_test(size=(80, 24)) as pilot:
        found = app.screen.query("#numbers")
        await until(pilot, lambda: bool(found) and "there is no run" in str(found.first().render()))
        await pilot.press("escape")
        assert app.return_code == 0


@driven
async def test_a_border_that_comes_takes_the_title() -> None:
    app = Charts()
    async with app.run_test(size=(80, 40)) as pilot:
        chart = app.query_one(DepthChart)
        assert lines(chart)[0].startswith("KL by position, nats · setting 4")
        chart.styles.border = ("round", "white")
        await until(pilot, lambda: str(chart.border_title).startswith("KL by position"))
        assert not lines(chart)[0].startswith("KL by position")


@driven
async def test_rows_that_are_left_out_are_named_with_the_reason_or_counted() -> None:
    points = (ScatterPoint("8", 12240, 0.001, "good", True, False),)
    left_out = (("4@64", ("first 64 tokens at full precision, not 0",)), ("8", ("text",)))
    app = Charts()
    async with app.run_test(size=(140, 40)) as pilot:
        chart = app.query_one(Scatter)
        chart.show(FrontierChart(points, 32, left_out))
        foot = "◆ frontier  over 32 chunks  left out: "
        reasons = "4@64: first 64 tokens at full precision, not 0; 8: text"
        await until(pilot, lambda: str(chart.border_subtitle) == foot + reasons)
        await pilot.resize_terminal(60, 40)
        await until(pilot, lambda: str(chart.border_subtitle) == foot + "4@64, 8")
        await pilot.resize_terminal(34, 40)
        await until(pilot, lambda: str(chart.border_subtitle) == "over 32 chunks  2 left out")


FLOATS = st.floats() | st.sampled_from([0.0, 1e-300, 5e-324, 1.7e308])
NAMES = st.text(st.characters(codec=None), max_size=6)
POINTS = st.lists(
    st.builds(ScatterPoint, NAMES, FLOATS, FLOATS, NAMES, st.booleans(), st.booleans()), max_size=8
)


@given(POINTS, st.lists(FLOATS, max_size=30), st.integers(1, 90), st.integers(1, 30), st.data())
@settings(max_examples=30)
def test_any_data_at_any_size_fill_the_widget(
    points: list[ScatterPoint], values: list[float], width: int, height: int, data: st.DataObject
) -> None:
    scatter, depth, chunks, histogram = Scatter(), DepthChart(), ChunkChart(), Histogram()
    name = data.draw(NAMES)
    scatter.show(FrontierChart(tuple(points), n_chunks=4))
    depth.show(name, [(i, i + 1, value) for i, value in enumerate(values)])
    chunks.show(name, list(enumerate(values)))
    counts = data.draw(st.lists(st.integers(0, 10**9), max_size=40))
    edges = sorted(data.draw(st.lists(FLOATS, min_size=len(counts) + 1, max_size=len(counts) + 1)))
    extra = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    histogram.show(name, edges, counts, nonpositive=extra[0], infinite=extra[1])
    for chart in (scatter, depth, chunks, histogram):
        readings = chart.readings()
        assert isinstance(chart.heading() + chart.summary(), str)
        if readings:
            cursor = data.draw(st.none() | st.integers(0, len(readings) - 1))
            picture = chart.draw(width, height, cursor)
            assert [cell_len(row) for row in picture.canvas.rows()] == [width] * height
            assert len(picture.spots) == len(readings)


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (8, 5), (20, 8), (80, 3), (300, 100)])
@driven
async def test_charts_and_detail_live_at_any_size(saved: str, size: tuple[int, int]) -> None:
    app = Detail(run=saved)
    async with app.run_test(size=size) as pilot:
        await until(pilot, loaded(app))
        for chart in app.screen.query(Chart):
            chart.focus()
            await pilot.press("right", "end")
            assert Size(*chart.content_size) == chart.content_size
            assert {cell_len(line) for line in lines(chart)} <= {chart.content_size.width}
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert any("█" in line for line in lines(app.screen.query_one(ChunkChart)))
