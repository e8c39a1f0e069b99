"""The charts of the workbench: all settings as points, and one setting by chunk and by position."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.containers import Grid
from textual.timer import Timer

from qfid_tui.app.widgets.chunk_chart import ChunkChart
from qfid_tui.app.widgets.depth_chart import DepthChart
from qfid_tui.app.widgets.scatter import Scatter
from qfid_tui.state.chart_points import chunk_points, depth_spans, frontier_chart, total_chart
from qfid_tui.state.workbench import WorkbenchState
from qfid_tui.words.empty_charts import empty_chart_text

# A held key repeats faster than that: charts are drawn where the cursor comes to rest.
_REST_SECONDS = 0.04


class ChartsPanel(Grid):
    """The three charts; one that is hidden is not drawn."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._waiting: Timer | None = None

    def compose(self) -> ComposeResult:
        """The charts."""
        yield Scatter(id="scatter", classes="panel")
        yield ChunkChart(id="chunks", classes="panel")
        yield DepthChart(id="depth", classes="panel")

    def show(self, state: WorkbenchState) -> None:
        """Draw the charts of a state."""
        self._stop_waiting()
        row = state.charted_row
        # Marked as in the table.
        name = "" if row is None else f"{row.shown_name}{' (old)' if row.origin else ''}"
        scatter = self.query_one(Scatter)
        chunks = self.query_one(ChunkChart)
        depth = self.query_one(DepthChart)
        if scatter.display:
            in_all = state.comparison.compares_weights and state.grid.part is not None
            is_earlier = row is not None and bool(row.run)
            scatter.show(
                total_chart(state.grid)
                if in_all and not is_earlier
                else frontier_chart(state.rows, row)
            )
        for chart in (chunks, depth):
            chart.say_when_empty(empty_chart_text(state.comparison, row))
        if chunks.display:
            chunks.show(name, chunk_points(state.comparison, row))
        if depth.display:
            depth.show(name, depth_spans(state.comparison, row))

    def show_soon(self, state: WorkbenchState) -> None:
        """Draw the charts of a state, unless another state follows at once."""
        self._stop_waiting()
        self._waiting = self.set_timer(_REST_SECONDS, lambda: self.show(state))

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.stop()
            self._waiting = None
