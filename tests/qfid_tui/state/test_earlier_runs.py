"""Earlier runs of a model as rows of the table, and what the table makes of everything."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from cli_saved_runs import CHUNKS, chunk_scored, recording, report_of, save_run
from indexed_runs import use_index

from qfid_tui.state.chart_points import (
    FrontierChart,
    chart_row,
    chunk_points,
    depth_spans,
    frontier_chart,
)
from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import earlier_settings, read_earlier
from qfid_tui.state.saved_comparison import open_comparison
from qfid_tui.state.table_rows import TableRow, table_rows
from qfid_tui.words import best_setting
from qfid_tui.words.about_line import about_row
from scorer.runs import listing
from scorer.runs.listing import Run
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings

GEOMETRY = KVGeometry((KVLayer(3, 64, 64),) * 30, 30)


def parse_job(settings: str) -> Job:
    return Job("demo", parse_settings(settings))


def rows_of(comparison: Comparison, **changes: object) -> list[TableRow]:
    choices = Choices(model="demo", **changes)  # type: ignore[arg-type]
    return table_rows(choices, comparison, GEOMETRY, earlier_settings("demo"))


def test_settings_of_stored_reports_are_found_newest_first_and_once() -> None:
    save_run("8,4")
    newest = save_run("8")
    save_run("8", job={"model": "org/other"})
    save_run("4", finished=False)
    found = earlier_settings("demo")
    assert [(row.name, row.run == newest.id) for row in found] == [("8", True), ("4", False)]
    row = report_of(newest)["settings"][0]
    assert found[0].kl == tuple(row["kl_mean_per_chunk"])
    assert found[0].flips == pytest.approx([n / 15 for n in row["flips_per_chunk"]])
    assert [row.name for row in earlier_settings("demo", {newest.id})] == ["8", "4"]


def test_the_charts_of_an_earlier_row_are_those_of_its_report() -> None:
    run = save_run("8")
    [row] = [row for row in rows_of(Comparison()) if row.run == run.id]
    reopened = open_comparison(run.id)
    [own] = [row for row in rows_of(reopened) if row.name == "8" and not row.run]
    points = chunk_points(reopened, own)
    assert [chunk for chunk, _ in points] == [*range(CHUNKS)]
    assert [kl for _, kl in chunk_points(Comparison(), row)] == pytest.approx(
        [kl for _, kl in points]
    )
    assert depth_spans(Comparison(), row) == depth_spans(reopened, own) != []


def test_before_the_first_chunk_of_a_run_the_charts_show_no_earlier_run() -> None:
    run = save_run("8")
    comparison = Comparison()
    rows = rows_of(comparison)
    [old] = [row for row in rows if row.run == run.id]
    assert chart_row(rows, rows[0]) is old
    comparison.begin(parse_job("4"))
    rows = rows_of(comparison)
    [old] = [row for row in rows if row.run == run.id]
    assert chart_row(rows, rows[0]) is None and chart_row(rows, old) is old
    comparison.add(chunk_scored("4", 0, 0.1))
    assert chart_row(rows_of(comparison), None) is not None


def test_reports_that_cannot_be_read_are_passed_over() -> None:
    run = save_run("8")
    for text in ("", "[]", '{"settings": 7}', '{"settings": [7, {"setting": "8"}]}'):
        (run.path / "report.json").write_text(text)
        assert earlier_settings("demo") == []
    (run.path / "job.json").write_text("{")
    assert earlier_settings("demo") == []


def test_rows_are_offered_then_scored_then_16_bit_then_earlier() -> None:
    run = save_run("8,4")
    comparison = Comparison()
    comparison.begin(run.job)
    for event in recording(run):
        comparison.add(event)
    rows = rows_of(comparison, group_size=32)
    names = [(row.name, row.ticked, bool(row.origin)) for row in rows]
    assert names[:2] == [("8:32", True, False), ("6:32", True, False)]
    assert names[6:] == [
        ("8", False, False),
        ("4", False, False),
        ("", None, False),
        ("8", None, True),
        ("4", None, True),
    ]
    assert rows[6].figures is not None and not rows[6].waiting
    assert rows[8].cost is not None and rows[8].cost.share == 1.0


def test_charts_show_the_row_with_the_cursor_else_the_first_scored() -> None:
    run = save_run("8,4")
    comparison = Comparison()
    comparison.begin(run.job)
    for event in recording(run):
        comparison.add(event)
    rows = rows_of(comparison)
    assert chart_row(rows, rows[3]) is rows[3] and rows[3].name == "4"
    assert chart_row(rows, rows[1]) is rows[0]
    assert chart_row([], None) is None
    assert [chunk for chunk, _ in chunk_points(comparison, rows[0])] == [0, 1, 2, 3]
    assert chunk_points(comparison, None) == [] and depth_spans(comparison, None) == []
    spans = depth_spans(comparison, rows[0])
    assert spans[0][0] == 0 and spans[-1][1] == 15
    chart = frontier_chart(rows, rows[0])
    points = {(p.label, p.earlier): p for p in chart.points}
    assert set(points) == {("8", False), ("4", False), ("8", True), ("4", True)}
    assert all(point.frontier for point in points.values())
    assert (chart.n_chunks, chart.left_out) == (4, ())
    assert frontier_chart(rows, None) == frontier_chart(rows, rows[1]) == FrontierChart()


def test_a_setting_that_costs_more_and_loses_more_is_off_the_frontier() -> None:
    run = save_run("8,4")
    comparison = Comparison()
    comparison.begin(run.job)
    for event in recording(run):
        comparison.add(event)
    rows = [row for row in rows_of(comparison) if not row.origin]
    worse = dataclasses.replace(rows[3], name="5", cost=rows[0].cost)
    chart = frontier_chart([*rows, worse], rows[0])
    assert {point.label: point.frontier for point in chart.points} == {
        "8": True,
        "4": True,
        "5": False,
    }


def played(run: Run, chunks: int = CHUNKS) -> Comparison:
    comparison = Comparison()
    comparison.begin(run.job)
    for event in recording(run, chunks):
        comparison.add(event)
    return comparison


@pytest.mark.parametrize(
    ("job", "differs"),
    [
        ({"corpus": CorpusSpec("/a/notes.md")}, ("text",)),
        ({"protocol": "llama.cpp"}, ("protocol llama.cpp, not mqf",)),
        ({"kernel": "mlx-lm"}, ("kernel mlx-lm, not auto",)),
    ],
)
def test_runs_of_other_conditions_are_on_no_common_frontier(
    job: dict[str, Any], differs: tuple[str, ...]
) -> None:
    """An earlier run of another text would beat this one everywhere; it is not on its chart."""
    save_run("8", job=job)
    rows = rows_of(played(save_run("8,4")))
    earlier = next(row for row in rows if row.origin and row.differs)
    assert earlier.differs == differs
    assert not any(row.differs for row in rows if not row.origin)
    chart = frontier_chart(rows, rows[0])
    assert chart.left_out == (("8", differs),)
    assert [point.label for point in chart.points if point.earlier] == ["8", "4"]
    # The cursor on it shows what it may be ranked with.
    alone = frontier_chart(rows, earlier)
    assert [point.label for point in alone.points] == ["8"]
    assert len(alone.left_out) == 4
    words = about_row(earlier, with_costs=False, with_note=True, width=140, names={})
    assert words.endswith(f"not ranked here: {differs[0]}")


def test_an_earlier_run_that_says_too_little_is_left_out() -> None:
    save_run("8", identity={"model": "demo", "model revision": "none"})
    rows = rows_of(played(save_run("8")))
    (_, differs), *_ = frontier_chart(rows, rows[0]).left_out
    assert "batch unknown" in differs and "tokenizer unknown" in differs
    narrow = about_row(
        next(row for row in rows if row.differs),
        with_costs=False,
        with_note=True,
        width=80,
        names={},
    )
    assert len(narrow) <= 80 and "not ranked here: files of the model unknown" in narrow


def test_the_frontier_rests_on_the_chunks_in_common() -> None:
    """`4` has two chunks, `8` four: its later ones are not held against it."""
    run = save_run(chunks={"8": CHUNKS, "4": 2}, finished=False)
    comparison = open_comparison(run.id)
    rows = [row for row in rows_of(comparison) if not row.origin]
    assert [row.figures.chunks for row in rows if row.figures] == [CHUNKS, 2]
    chart = frontier_chart(rows, rows[0])
    eight = next(row for row in rows if row.name == "8")
    assert eight.figures is not None
    (point,) = (point for point in chart.points if point.label == "8")
    assert chart.n_chunks == 2
    assert point.kl_mean == pytest.approx(sum(eight.kl[:2]) / 2)
    assert point.kl_mean != pytest.approx(eight.figures.kl_mean)


def test_an_earlier_run_of_other_chunks_is_left_out() -> None:
    save_run("4", chunks=2)
    rows = rows_of(played(save_run("8")))
    chart = frontier_chart(rows, rows[0])
    assert (chart.n_chunks, chart.left_out) == (CHUNKS, (("4", ("chunks",)),))


def test_other_starts_of_this_comparison_are_not_ranked() -> None:
    comparison = Comparison()
    comparison.begin(parse_job("8,2@4,4~dequantized,4"))
    for name, kl in (("8", 0.5), ("2@4", 0.0), ("4~dequantized", 0.0), ("4", 0.6)):
        for chunk in range(3):
            comparison.add_chunks(chunk_scored(name, chunk, kl, 511))
    comparison.kv_bytes = {"8": 4.0, "2@4": 1.0, "4~dequantized": 2.0, "4": 2.0}
    assert list(comparison.ranked()) == ["8", "4"]
    assert comparison.cheapest_good() is None
    rows = [row for row in rows_of(comparison) if row.figures is not None]
    assert {row.name: bool(row.differs) for row in rows} == {
        "8": False,
        "4": False,
        "2@4": True,
        "4~dequantized": True,
    }
    chart = frontier_chart(rows, rows[0])
    assert sorted(point.label for point in chart.points) == ["4", "8"]
    (line,) = [best_setting.best_line(comparison)]
    assert line is not None and "8 drifts least" in line[0][0]


def test_a_cheaper_open_setting_stands_beside_the_settled_one() -> None:
    comparison = Comparison()
    comparison.begin(parse_job("8,6,4"))
    for chunk in range(40):
        # Of `6`, the mean is near the bound of good and varies; `4` is far above.
        for name, kl in (("8", 1e-4), ("6", 0.006 + 0.012 * (chunk % 2)), ("4", 1.0)):
            scale = 1 + 0.01 * (chunk % 3)
            comparison.add_chunks(chunk_scored(name, chunk, 0.8 * kl * scale, 511))
    comparison.kv_bytes = {"": 8.0, "8": 4.0, "6": 3.0, "4": 2.0}
    figures = {name: comparison.figures(name) for name in ("8", "6")}
    assert [f and f.shown_verdict for f in figures.values()] == ["good", "good?"]
    assert comparison.cheapest_good() == ("8", figures["8"])
    assert comparison.cheaper_open() == "6"
    line = best_setting.best_line(comparison)
    assert line is not None
    assert "".join(text for text, _ in line) == (
        "cheapest good setting so far: 8 (50 % of the 16-bit cache); 6? costs less and is open"
    )


def test_nothing_is_read_on_when_nobody_wants_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for second in range(3):
        run = save_run("8")
        # Runs of one second are put into their order together.
        run.path.rename(run.path.with_name(f"20260101-00000{second}-demo-0000"))
    seen: list[str] = []
    info = listing._info

    def counted(path: Path) -> Any:
        seen.append(path.name)
        return info(path)

    monkeypatch.setattr(listing, "_info", counted)
    found = read_earlier("demo", None, is_saved=False, stopped=lambda: len(seen) == 2)
    assert len(seen) == 2 and found.settings == ()


def test_the_runs_of_a_model_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    use_index(monkeypatch)
    save_run("8"), save_run("4", finished=False)
    first = read_earlier("demo", None, is_saved=False)
    assert len(first.saved) == 2 and first.unfinished == first.saved[0].id
    monkeypatch.setattr(listing, "_info", None)
    assert read_earlier("demo", None, is_saved=False) == first
