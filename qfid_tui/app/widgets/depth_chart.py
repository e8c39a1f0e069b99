"""KL by depth: does the drift grow with the position in the context?"""

from __future__ import annotations

import math
from collections.abc import Sequence

from qfid_tui.app.widgets.chart import Chart
from qfid_tui.app.widgets.compared import mean_difference, means_of, named, reading, values_of
from qfid_tui.pictures.bars import Bar, Mean, draw_bars, range_of, value_text
from qfid_tui.pictures.canvas import Picture
from qfid_tui.state.overlay import Overlay


class DepthChart(Chart):
    """KL mean of each span of positions, as bars from 0; over decades where they lie far apart."""

    EMPTY = "bars appear with the first chunk"

    _setting = ""
    _spans: Sequence[tuple[int, int, float]] = ()
    _mean: Mean | None = None
    _other: Overlay | None = None

    def show(
        self,
        name: str,
        spans: Sequence[tuple[int, int, float]],
        *,
        mean: Mean | None = None,
        other: Overlay | None = None,
    ) -> None:
        """Show a setting.

        Args:
            name: The setting.
            spans: First position, position after the last, and KL mean in nats of each.
            mean: Mean over all positions with its interval, nats.
            other: A setting to compare with.
        """
        data = name, tuple(spans), mean, other
        if data != (self._setting, self._spans, self._mean, self._other):
            self._setting, self._spans, self._mean, self._other = data
            self.changed()

    def heading(self) -> str:
        """See :meth:`Chart.heading`."""
        if not self._spans:
            return "KL by position"
        return f"KL by position, nats · {named(self._setting, self._other)}"

    def summary(self) -> str:
        """See :meth:`Chart.summary`."""
        values = [kl for _, _, kl in self._spans]
        return mean_difference(values, self._other) or range_of(values)

    def readings(self) -> list[str]:
        """See :meth:`Chart.readings`."""
        return [
            reading(f"positions {start} to {end - 1}", kl, self._other, i)
            for i, (start, end, kl) in enumerate(self._spans)
        ]

    def draw(self, width: int, height: int, cursor: int | None) -> Picture:
        """See :meth:`Chart.draw`."""
        bars = [
            # A span without a position that counts has no mean.
            Bar(kl, str(start), value_text(None if math.isnan(kl) else kl), other)
            for (start, _, kl), other in zip(self._spans, values_of(self._other), strict=False)
        ]
        last, means = str(self._spans[-1][1] - 1), means_of(self._mean, self._other)
        return draw_bars(bars, width, height, end_tick=last, cursor=cursor, means=means)
