"""The distribution of per-position KL over decades."""

from __future__ import annotations

import math
from collections.abc import Sequence

from qfid_tui.app.widgets.chart import Chart
from qfid_tui.app.widgets.compared import named
from qfid_tui.pictures.bars import Bar, draw_bars, value_text
from qfid_tui.pictures.canvas import Picture
from qfid_tui.pictures.scale import decade_text, placeable, power_of_ten
from qfid_tui.state.overlay import Overlay
from scorer.report.formats.inline import count as grouped

# Cells that the counts at the left take.
_MARGIN = 6


class Histogram(Chart):
    """How many positions fall in each step of the axis; what has no logarithm stands apart."""

    EMPTY = "no position is scored yet"

    _setting = ""
    _edges: tuple[float, ...] = ()
    _counts: tuple[int, ...] = ()
    _nonpositive = 0
    _infinite = 0
    _other: Overlay | None = None

    def show(
        self,
        name: str,
        edges: Sequence[float],
        counts: Sequence[int],
        *,
        nonpositive: int = 0,
        infinite: int = 0,
        other: Overlay | None = None,
    ) -> None:
        """Show a setting.

        Args:
            name: The setting.
            edges: Ascending edges of the bins, nats; each bin holds its lower edge. Equal steps
                of the logarithm make the axis logarithmic.
            counts: Positions in each bin, one fewer than ``edges``.
            nonpositive: Positions whose KL is zero or, from rounding, slightly below.
            infinite: Positions whose KL is +inf.
            other: Positions of a setting to compare with, for as many positions in all: those
                that are zero or below, those of each bin, the infinite ones.

        Raises:
            ValueError: There is not exactly one edge more than counts.
        """
        if len(edges) != len(counts) + 1 and (edges or counts):
            raise ValueError(f"{len(edges)} edges for {len(counts)} counts")
        data = name, tuple(edges), tuple(counts), nonpositive, infinite
        known = self._setting, self._edges, self._counts, self._nonpositive, self._infinite
        if (data, other) != (known, self._other):
            self._setting, self._edges, self._counts, self._nonpositive, self._infinite = data
            self._other = other
            self.changed()

    def heading(self) -> str:
        """See :meth:`Chart.heading`."""
        total = sum(self._counts) + self._nonpositive + self._infinite
        if not total:
            return "Positions by KL"
        unit = ", nats" if self._other is None else ""
        setting = named(self._setting, self._other)
        return f"Positions by KL{unit} · {setting} · {grouped(total)} positions"

    def summary(self) -> str:
        """See :meth:`Chart.summary`."""
        apart = f"≤ 0: {grouped(self._nonpositive)}"
        return f"{apart} · ∞: {grouped(self._infinite)}" if self._infinite else apart

    def readings(self) -> list[str]:
        """See :meth:`Chart.readings`."""
        total = sum(self._counts) + self._nonpositive + self._infinite
        if not total:
            return []
        steps = zip(self._edges, self._edges[1:], self._counts, strict=False)
        bins = [
            (f"{value_text(low)} to {value_text(high)} nats", count) for low, high, count in steps
        ]
        steps_and_ends = [("zero or below", self._nonpositive), *bins, ("infinite", self._infinite)]
        found = [
            self._reading(name, n, total, None if self._other is None else self._other.values[i])
            for i, (name, n) in enumerate(steps_and_ends)
        ]
        return found[0 if self._nonpositive else 1 : len(found) - (0 if self._infinite else 1)]

    def _reading(self, name: str, count: int, total: int, its: float | None) -> str:
        """One bar in words, with a second setting as the difference of the two shares."""
        share = 100 * count / total
        if self._other is None or its is None:
            return f"{name}: {grouped(count)} ({share:.1f} %)"
        other = 100 * its / total
        shares = f"{share:.1f} %, {self._other.name}: {other:.1f} %"
        return f"{name} less {self._other.name}: {share - other:+.1f} % ({shares})"

    def draw(self, width: int, height: int, cursor: int | None) -> Picture:
        """See :meth:`Chart.draw`."""
        merged = _merged(len(self._counts), width)
        others = [None] * (len(self._counts) + 2) if self._other is None else self._other.values
        bars = [
            _count_bar(
                sum(self._counts[i : i + merged]),
                _edge_text(self._edges[i]),
                _sum(others[1 + i : 1 + min(i + merged, len(self._counts))]),
            )
            for i in range(0, len(self._counts), merged)
        ]
        if self._nonpositive:
            bars.insert(0, _count_bar(self._nonpositive, "≤0", others[0]))
        end = _edge_text(self._edges[-1]) if self._edges else ""
        if self._infinite:
            bars.append(_count_bar(self._infinite, "∞", others[-1]))
            end = ""
        zero = 1 if self._nonpositive else 0
        chosen = cursor
        if cursor is not None and cursor >= zero:
            chosen = zero + (cursor - zero) // merged
            if self._infinite and cursor == zero + len(self._counts):
                chosen = len(bars) - 1
        picture = draw_bars(bars, width, height, end_tick=end, linear=True, cursor=chosen)
        steps = [picture.spots[zero + i // merged] for i in range(len(self._counts))]
        picture.spots[zero : len(bars) - (1 if self._infinite else 0)] = steps
        return picture


def _merged(bins: int, width: int) -> int:
    """How many bins one bar holds, so that a bar is at least two cells wide where it can be."""
    room = max((width - _MARGIN) // 2, 1)
    return next((n for n in (1, 2, 4) if bins <= n * room), max(4, -(-bins // room)))


def _count_bar(positions: int, tick: str, other: float | None) -> Bar:
    return Bar(positions, tick, str(positions) if positions else " ", other or None)


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _edge_text(edge: float) -> str:
    """The decade that the edge is, else nothing: steps inside a decade have no tick."""
    if not placeable(edge, log=True):
        return ""
    exponent = round(math.log10(edge))
    return decade_text(exponent) if math.isclose(edge, power_of_ten(exponent)) else ""
