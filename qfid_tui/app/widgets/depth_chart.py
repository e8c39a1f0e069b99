"""KL by depth: does the drift grow with the position in the context?"""

from __future__ import annotations

from collections.abc import Sequence

from qfid_tui.app.widgets.chart import Chart
from qfid_tui.pictures.bars import Bar, draw_bars, range_of, value_text
from qfid_tui.pictures.canvas import Picture


class DepthChart(Chart):
    """KL mean of each span of positions, as bars from 0; over decades where they lie far apart."""

    EMPTY = "bars appear with the first chunk"

    _setting = ""
    _spans: Sequence[tuple[int, int, float]] = ()

    def show(self, name: str, spans: Sequence[tuple[int, int, float]]) -> None:
        """Show a setting.

        Args:
            name: The setting.
            spans: First position, position after the last, and KL mean in nats of each.
        """
        if (name, tuple(spans)) != (self._setting, self._spans):
            self._setting, self._spans = name, tuple(spans)
            self.changed()

    def heading(self) -> str:
        """See :meth:`Chart.heading`."""
        return (
            f"KL by position, nats · setting {self._setting}" if self._spans else "KL by position"
        )

    def summary(self) -> str:
        """See :meth:`Chart.summary`."""
        return range_of([kl for _, _, kl in self._spans])

    def readings(self) -> list[str]:
        """See :meth:`Chart.readings`."""
        return [
            f"positions {start} to {end - 1}: {value_text(kl, 3)} nats"
            for start, end, kl in self._spans
        ]

    def draw(self, width: int, height: int, cursor: int | None) -> Picture:
        """See :meth:`Chart.draw`."""
        bars = [Bar(kl, str(start), value_text(kl)) for start, _, kl in self._spans]
        last = str(self._spans[-1][1] - 1)
        return draw_bars(bars, width, height, end_tick=last, cursor=cursor)
