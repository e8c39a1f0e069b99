"""The detail screen and its charts, in an app of their own."""

from __future__ import annotations

import asyncio
import functools
import random
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from saved_setting_runs import CHUNKS, add_chunks, saved_run
from textual.app import App, ComposeResult
from textual.geometry import Size
from textual.pilot import Pilot
from textual.widget import Widget
from textual.widgets import Static

from qfid_tui.app.screens import detail
from qfid_tui.app.screens.detail import DetailScreen
from qfid_tui.app.screens.inspector import InspectorScreen
from qfid_tui.app.widgets.chart import Chart
from qfid_tui.app.widgets.chunk_chart import ChunkChart
from qfid_tui.app.widgets.depth_chart import DepthChart
from qfid_tui.app.widgets.histogram import Histogram
from qfid_tui.app.widgets.scatter import Scatter, ScatterPoint
from qfid_tui.app.widgets.tail_list import TailList
from qfid_tui.state import setting_detail
from qfid_tui.state.chart_points import FrontierChart
from qfid_tui.state.setting_detail import SettingDetail
from qfid_tui.state.workbench import RunSoFar
from scorer.common.folders import runs_folder

SIZES = [(80, 24), (140, 45)]
THEMES = ["textual-dark", "textual-light"]


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


def driven(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run a coroutine test in a loop of its own."""

    @functools.wraps(test)
    def run(*args: Any, **kwargs: Any) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


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


class Detail(App[None]):
    def __init__(self, theme: str = "textual-dark", run: str = "", setting: str = "4") -> None:
        super().__init__()
        self._wanted, self._run_id, self._first = theme, run, setting
        self.so_far: RunSoFar | None = None

    def on_mount(self) -> None:
        self.theme = self._wanted
        screen = DetailScreen(
            self._run_id,
            self._first,
            settings=("8", "6", "4", "2"),
            so_far=lambda: self.so_far,
        )
        self.push_screen(screen, lambda _: self.exit())


async def until(pilot: Pilot[None], holds: Callable[[], bool]) -> None:
    for _ in range(500):
        if holds():
            await pilot.pause()
            return
        await pilot.pause(0.01)
    raise AssertionError("it did not come")


def screen_of(app: App[None]) -> DetailScreen:
    assert isinstance(app.screen, DetailScreen)
    return app.screen


def lines(widget: Widget) -> list[str]:
    return [widget.render_line(y).text for y in range(widget.content_size.height)]


def loaded(app: App[None], setting: str = "4") -> Callable[[], bool]:
    def holds() -> bool:
        found = app.screen.query(ChunkChart)
        return bool(found) and any(f"setting {setting}" in c.heading() for c in found)

    return holds


@pytest.fixture
def saved() -> str:
    """A run with a fixed id: the title of the screen names it."""
    run = saved_run()
    fixed = runs_folder() / "20261124-200122-demo-06e8"
    run.path.rename(fixed)
    return fixed.name


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


def compared(app: App[None], names: str) -> Callable[[], bool]:
    return lambda: names in app.screen.query_one(ChunkChart).heading()


@driven
async def test_settings_are_laid_over_the_charts_one_after_another(saved: str) -> None:
    app = Detail(run=saved)
    async with app.run_test(size=(140, 45)) as pilot:
        await until(pilot, loaded(app))
        charts = [app.screen.query_one(kind) for kind in (ChunkChart, DepthChart, Histogram)]
        for other in ("8", "6", "2"):
            await pilot.press("c")
            await until(pilot, compared(app, f"setting 4, ━ {other}".removeprefix("setting ")))
            assert all(f"4, ━ {other}" in chart.heading() for chart in charts)
            assert all(f"less {other}: " in chart.readings()[0] for chart in charts)
            numbers = str(app.screen.query_one("#numbers", Static).render())
            assert f"KL mean less {other}: " in numbers and "told apart" in numbers
        # A setting is not compared with itself, and after the last one with none.
        await pilot.press("right_square_bracket")
        await until(pilot, loaded(app, "2"))
        assert all("━" not in chart.heading() for chart in charts)
        await pilot.press("c", "c", "c", "c")
        await until(pilot, loaded(app, "2"))
        assert "less" not in charts[0].readings()[0]


@pytest.mark.parametrize("key", ["z", "enter"])
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


def title_of(app: App[None]) -> str:
    return str(app.screen.query_one("#what", Static).render())


def so_far(chunks: int, settings: tuple[str, ...] = ("8", "4", "2")) -> RunSoFar:
    return RunSoFar(dict.fromkeys(settings, chunks), len(CHUNKS), settings)


@driven
async def test_a_run_that_goes_on_is_followed_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detail, "_LOOK_SECONDS", 0.02)
    monkeypatch.setattr(detail, "_FOLLOW_SECONDS", 0.0)
    monkeypatch.setattr(detail, "_PAUSE", 0)
    run = saved_run("8,4,2", report=False, scored=CHUNKS[1:3])
    app = Detail(run=run.id)
    app.so_far = so_far(2)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        assert "follows the run, 2 of 6 chunks so far" in title_of(app)
        chart, tail = app.screen.query_one(ChunkChart), app.screen.query_one(TailList)
        chart.focus()
        await pilot.press("home")
        assert chart.chunk == CHUNKS[1]
        tail.focus()
        await pilot.press("down", "down")
        picked = tail.picked
        assert picked is not None
        add_chunks(run, CHUNKS[:1])
        app.so_far = so_far(3)
        await until(pilot, lambda: "3 of 6 chunks so far" in title_of(app))
        assert len(chart.readings()) == 3
        # The cursors stay on what they read, whatever was scored before it.
        assert chart.chunk == CHUNKS[1] and chart.cursor == 1
        assert tail.picked is not None
        assert (tail.picked.chunk, tail.picked.position) == (picked.chunk, picked.position)
        add_chunks(run, CHUNKS[3:])
        app.so_far = None
        await until(pilot, lambda: len(chart.readings()) == len(CHUNKS))
        assert "follows" not in title_of(app)
        # A setting that was read before is read again.
        await pilot.press("right_square_bracket")
        await until(pilot, loaded(app, "2"))
        assert len(chart.readings()) == len(CHUNKS)


@driven
async def test_a_run_is_not_read_at_every_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detail, "_LOOK_SECONDS", 0.01)
    monkeypatch.setattr(detail, "_FOLLOW_SECONDS", 3600.0)
    reads = []
    real = setting_detail.read_setting_detail

    def read(run: str, setting: str) -> SettingDetail:
        reads.append(setting)
        return real(run, setting)

    monkeypatch.setattr(setting_detail, "read_setting_detail", read)
    app = Detail(run=saved_run("8,4,2", report=False).id)
    app.so_far = so_far(1)
    looks = 0

    def look() -> RunSoFar | None:
        nonlocal looks
        looks += 1
        return so_far(looks)

    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        screen_of(app)._so_far = look
        await until(pilot, lambda: looks > 20)
        assert reads == ["4"]
        # The end is not waited for.
        screen_of(app)._so_far = lambda: None
        await until(pilot, lambda: reads == ["4", "4"])


@driven
async def test_settings_that_are_scored_meanwhile_can_be_gone_to(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(detail, "_LOOK_SECONDS", 0.02)
    app = Detail(run=saved_run("8,6,4,2", report=False).id)
    app.so_far = so_far(1, ("4",))
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, loaded(app))
        await until(pilot, lambda: screen_of(app).check_action("setting", (1,)) is None)
        app.so_far = so_far(1, ("4", "2"))
        await until(pilot, lambda: screen_of(app).check_action("setting", (1,)) is True)
        await pilot.press("right_square_bracket")
        await until(pilot, loaded(app, "2"))


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
@settings(max_examples=100)
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
