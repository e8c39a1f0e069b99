"""KL against KV bytes per token: which settings are worth their memory."""

from __future__ import annotations

from collections.abc import Sequence

from qfid_tui.app.widgets.chart import Chart
from qfid_tui.pictures.canvas import Picture
from qfid_tui.pictures.scatter import ScatterPoint, draw_scatter

__all__ = ["Scatter", "ScatterPoint"]


class Scatter(Chart):
    """Settings as points, the Pareto frontier as a staircase, the bounds of KL as dashed lines."""

    EMPTY = "points appear as settings are scored"

    _points: tuple[ScatterPoint, ...] = ()

    def show(self, points: Sequence[ScatterPoint]) -> None:
        """Show settings, in any order; the cursor visits them from few bytes to many."""
        ordered = tuple(sorted(points, key=lambda p: (p.bytes_per_token, p.kl_mean, p.label)))
        if ordered != self._points:
            self._points = ordered
            self.changed()

    def heading(self) -> str:
        """See :meth:`Chart.heading`."""
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
        parts = [f"{mark} {text}" for mark, text in marks.items() if mark in present]
        if missing := self._picture().missing:
            parts.append(f"no room: {', '.join(missing)}")
        return "  ".join(parts)

    def readings(self) -> list[str]:
        """See :meth:`Chart.readings`."""
        return [point.reading() for point in self._points]

    def draw(self, width: int, height: int, cursor: int | None) -> Picture:
        """See :meth:`Chart.draw`."""
        return draw_scatter(self._points, width, height, cursor)
