"""Why a chart of the workbench is empty."""

from __future__ import annotations

from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.table_rows import TableRow
from qfid_tui.words.empty_charts import empty_chart_text


def test_an_empty_chart_promises_no_chunk_that_will_not_come() -> None:
    comparison = Comparison()
    assert empty_chart_text(comparison, None) == "bars appear with the first chunk"
    comparison.begin(Choices(model="demo", ticked=(8,)).job())
    assert empty_chart_text(comparison, None) == "bars appear with the first chunk"
    comparison.end(by_user=True)
    assert empty_chart_text(comparison, None) == "no chunk was scored"
    row = TableRow("8", None, None, None, run="20261124-200122-demo-06e8")
    assert empty_chart_text(comparison, row) == "the report has no such values"
