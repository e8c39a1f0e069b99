"""KL against KV bytes per token: which settings are worth their memory."""

from __future__ import annotations

from qfid_tui.app.widgets.chart import Chart
from qfid_tui.pictures.canvas import Picture
from qfid_tui.pictures.scatter import ScatterPoint, draw_scatter
from qfid_tui.state.chart_points import FrontierChart
from scorer.report.formats.inline import plural
from scorer.spec.thresholds import KV, WEIGHTS

__all__ = ["Scatter", "ScatterPoint"]


class Scatter(Chart):
    """Settings as points, the Pareto frontier as a staircase, the bounds of KL as dashed lines."""

    EMPTY = "points appear as settings are scored"

    _chart = FrontierChart()
    _points: tuple[ScatterPoint, ...] = ()

    def show(self, chart: FrontierChart) -> None:
        """Show settings, in any order; the cursor visits them from few bytes to many."""
        if chart != self._chart:
            self._chart = chart
            self._points = tuple(
                sorted(chart.points, key=lambda p: (p.bytes_per_token, p.kl_mean, p.label))
            )
            self.changed()

    def heading(self) -> str:
        """See :meth:`Chart.heading`."""
        if self._chart.context:
            return f"KL mean by total bytes at {self._chart.context}"
        return "KL mean (nats) by KV bytes/token"

    def summary(self) -> str:
        """See :meth:`Chart.summary`."""
        marks = {
            "◆": "frontier",
            "●": "beaten",
            "◇": "earlier, frontier",
            "○": "earlier, beaten",
        }
        present = {point.mark for point in self._points}
        legend = [f"{mark} {text}" for mark, text in marks.items() if mark in present]
        chunks = plural(self._chart.n_chunks, "chunk")
        over = f"over {chunks}"
        missing = self._picture().missing
        no_room = [f"no room: {', '.join(missing)}"] if missing else []
        left_out = self._left_out()
        forms = [[*legend, over, *no_room, *said] for said in left_out]
        forms.append([*legend, chunks, *no_room, *left_out[-1]])
        # Why each row is left out stands in the line about it, too; the marks in the help.
        forms.append([over, *no_room, *left_out[-1]])
        lines = ["  ".join(form) for form in forms]
        return next((line for line in lines if len(line) <= self.content_size.width - 4), lines[-1])

    def _left_out(self) -> list[list[str]]:
        """What is said of rows that are not ranked with these, from long to short."""
        left_out = self._chart.left_out
        if not left_out:
            return [[]]
        reasons = "; ".join(f"{name}: {', '.join(differs)}" for name, differs in left_out)
        names = ", ".join(dict.fromkeys(name for name, _ in left_out))
        return [[f"left out: {reasons}"], [f"left out: {names}"], [f"{len(left_out)} left out"]]

    def readings(self) -> list[str]:
        """See :meth:`Chart.readings`."""
        return [point.reading() for point in self._points]

    def draw(self, width: int, height: int, cursor: int | None) -> Picture:
        """See :meth:`Chart.draw`."""
        bounds = WEIGHTS if self._chart.of_weights else KV
        return draw_scatter(self._points, width, height, cursor, bounds)
