"""Earlier runs of a model as rows of the table, and what the table makes of everything."""

from __future__ import annotations

import pytest
from cli_saved_runs import recording, report_of, save_run

from qfid_tui.state.chart_points import chart_row, chunk_points, depth_spans, scatter_points
from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import earlier_settings
from qfid_tui.state.table_rows import TableRow, table_rows
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting

GEOMETRY = KVGeometry((KVLayer(3, 64, 64),) * 30, 30)


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
    points = {(p.label, p.earlier): p for p in scatter_points(rows)}
    assert set(points) == {("8", False), ("4", False), ("8", True), ("4", True)}
    assert all(point.frontier for point in points.values())


def test_a_setting_that_costs_more_and_loses_more_is_off_the_frontier() -> None:
    run = save_run("8,4")
    comparison = Comparison()
    comparison.begin(run.job)
    for event in recording(run):
        comparison.add(event)
    rows = [row for row in rows_of(comparison) if not row.origin]
    worse = TableRow("5", KVSetting(5, 5), True, rows[0].cost, rows[3].figures)
    points = {point.label: point.frontier for point in scatter_points([*rows, worse])}
    assert points == {"8": True, "4": True, "5": False}
