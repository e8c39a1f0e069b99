"""What stands in a chart of the workbench while it has nothing to draw.

Pure standard library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.table_rows import TableRow


def empty_chart_text(comparison: Comparison, row: TableRow | None) -> str:
    """Why a chart of one setting is empty.

    Args:
        comparison: What is on the screen.
        row: The row that the chart is about; None if no row has numbers.
    """
    if row is not None:
        return "the report has no such values"
    if comparison.is_active or comparison.phase == "idle":
        return "bars appear with the first chunk"
    return "no chunk was scored"
