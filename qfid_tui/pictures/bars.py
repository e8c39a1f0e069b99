"""Bar charts with axes on a grid of cells."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from qfid_tui.pictures.canvas import Canvas, Picture, Plot, Role, fitted
from qfid_tui.pictures.scale import Axis, fraction, linear_axis, log_axis, placeable
from qfid_tui.pictures.strips import StripScale, column, strip
from scorer.report.formats.inline import digits

# Above this ratio of values, the small bars of a linear axis would be flat.
_LOG_FROM_RATIO = 30
_WIDEST_LONE_BAR = 7
# Columns that the bars keep beside the means, and lines in which an interval can be seen.
_FEWEST_COLUMNS = 12
_FEWEST_ROWS = 5
OTHER_SIGN, MEAN_SIGN = "━", "●"
"""What marks another row of bars, and a mean."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar.

    Attributes:
        value: Its height; NaN and None are drawn as missing.
        tick: Text below it, at its left edge, or centred if the bars are apart.
        text: Text above it if there is room.
        other: Value of another row of bars, marked by a line at its height; None for none.
    """

    value: float | None
    tick: str
    text: str
    other: float | None = None


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean with the ends of its interval; None where there is no interval."""

    value: float
    low: float | None = None
    high: float | None = None


def bar_axis(values: Sequence[float | None], most_ticks: int) -> Axis:
    """Return a linear axis from 0, or a logarithmic one if the values differ too much.

    Args:
        values: All heights.
        most_ticks: Maximum number of ticks.
    """
    positive = [value for value in values if placeable(value, log=True)]
    if positive and max(positive) / _LOG_FROM_RATIO > min(positive):
        return log_axis(positive, most_ticks)
    return linear_axis(values, most_ticks, from_zero=True)


def draw_bars(
    bars: Sequence[Bar],
    width: int,
    height: int,
    *,
    apart: bool = False,
    end_tick: str = "",
    linear: bool = False,
    cursor: int | None = None,
    means: Sequence[Mean] = (),
) -> Picture:
    """Draw bars with a value axis at the left and ticks below.

    If there are more bars than columns, each column shows the largest of several. Without room for
    axes, only the bars are drawn.

    Args:
        bars: In order.
        width: Cells.
        height: Lines.
        apart: Leave gaps between the bars and centre the ticks; else the bars touch, and ticks are
            below their left edges.
        end_tick: Tick at the right end of bars that touch.
        linear: Use a linear axis from 0 for any values.
        cursor: Index of the highlighted bar, or None.
        means: Drawn with their intervals at the right end if there is room: that of the bars,
            then that of the other row.
    """
    canvas = Canvas(width, height)
    values = [bar.value for bar in bars]
    rows = height - 2
    means = means if rows >= _FEWEST_ROWS else ()
    shown = [*values, *(bar.other for bar in bars)]
    shown += [value for mean in means for value in (mean.value, mean.high)]
    axis = (
        linear_axis(shown, max(2, rows // 2), from_zero=True)
        if linear
        else bar_axis(shown, max(2, rows // 2))
    )
    margin = max(len(text) for _, text in axis.ticks) + 1
    if rows < 2 or width - margin < 6 or not bars:
        for y, row in enumerate(
            strip(values, width, height, StripScale(axis.low, axis.high, axis.log))
        ):
            canvas.write(0, y, row, "bar")
        return Picture(canvas, [(min(i, max(width - 1, 0)), None) for i in range(len(bars))])
    # A free column before each of them.
    means = means if width - margin - 2 * len(means) >= _FEWEST_COLUMNS else ()
    plot = Plot(margin, 0, width - margin - 2 * len(means), rows)
    slots = _slots(bars, plot, apart)
    text_rows = _text_rows(slots, plot)
    drawn = Plot(plot.x, text_rows, plot.width, plot.height - text_rows)
    draw_value_axis(canvas, axis, drawn)
    canvas.column(plot.x - 1, 0, "│" * text_rows, "axis")
    scale = StripScale(axis.low, axis.high, axis.log)
    for slot in slots:
        role: Role = "cursor" if slot.holds(cursor) else "bar"
        cells = column(slot.bar.value, drawn.height, scale)
        for x in range(slot.x, slot.x + slot.width):
            canvas.column(x, drawn.y, cells, role)
        if text_rows:
            top = drawn.y + len(cells) - len(cells.lstrip(" "))
            canvas.write(slot.middle - len(slot.bar.text) // 2, top - 1, slot.bar.text, "text")
        if (line := _top(slot.bar.other, drawn.height, scale)) is not None:
            canvas.write(slot.x, drawn.y + line, OTHER_SIGN * slot.width, "other")
    for i, mean in enumerate(means):
        _draw_mean(canvas, mean, plot.x + plot.width + 1 + 2 * i, drawn, scale, i > 0)
    _draw_ticks(canvas, slots, plot, apart=apart, end_tick=end_tick)
    chosen = next((slot for slot in slots if slot.holds(cursor)), None)
    if chosen is not None:
        canvas.write(chosen.middle, rows, "▲", "cursor")
    spots: list[tuple[int, int | None]] = [
        (slot.middle, None) for slot in slots for _ in range(slot.first, slot.last + 1)
    ]
    return Picture(canvas, spots)


def _top(value: float | None, height: int, scale: StripScale) -> int | None:
    """Return the line in which a bar of this value ends; None if there is no such bar."""
    if value is None or not math.isfinite(value):
        return None
    cells = column(value, height, scale)
    return len(cells) - len(cells.lstrip(" "))


def _draw_mean(
    canvas: Canvas, mean: Mean, x: int, plot: Plot, scale: StripScale, is_other: bool
) -> None:
    """Draw a mean and its interval in one column."""
    role: Role = "other" if is_other else "line"
    low, high = (_top(end, plot.height, scale) for end in (mean.low, mean.high))
    if low is not None and high is not None:
        canvas.column(x, plot.y + high, "│" * (low + 1 - high), role)
        if low > high:
            canvas.write(x, plot.y + high, "┬", role)
            canvas.write(x, plot.y + low, "┴", role)
    if (row := _top(mean.value, plot.height, scale)) is not None:
        canvas.write(x, plot.y + row, MEAN_SIGN, role)


def draw_value_axis(canvas: Canvas, axis: Axis, plot: Plot) -> None:
    """Draw the vertical axis left of the plot, and the line below the plot.

    If two ticks would be on one line, one is omitted; the top tick is always drawn.
    """
    canvas.column(plot.x - 1, plot.y, "│" * plot.height, "axis")
    canvas.write(plot.x - 1, plot.y + plot.height, "└" + "─" * plot.width, "axis")
    taken: set[int] = set()
    for value, text in [axis.ticks[-1], *axis.ticks[:-1]]:
        row = plot.height - 1 - axis.place(value, plot.height)
        if row not in taken:
            taken.add(row)
            canvas.write(plot.x - 1, plot.y + row, "┤", "axis")
            canvas.write(plot.x - 1 - len(text), plot.y + row, text, "axis")


@dataclass(frozen=True, slots=True)
class _Slot:
    """The columns of one bar, or of the largest of several bars."""

    bar: Bar
    first: int
    last: int
    left: int
    x: int
    width: int

    @property
    def middle(self) -> int:
        return self.x + self.width // 2

    def holds(self, item: int | None) -> bool:
        return item is not None and self.first <= item <= self.last


def _slots(bars: Sequence[Bar], plot: Plot, apart: bool) -> list[_Slot]:
    group = math.ceil(len(bars) / plot.width)
    heads = range(0, len(bars), group)
    even = plot.width // len(heads)
    slots = []
    for i, first in enumerate(heads):
        last = min(first + group, len(bars)) - 1
        if apart:
            left, room = plot.x + i * even, even
        else:
            left = plot.x + i * plot.width // len(heads)
            room = plot.x + (i + 1) * plot.width // len(heads) - left
        wide = max(1, room - 1) if apart or even > 2 else room
        wide = min(wide, _WIDEST_LONE_BAR) if apart else wide
        x = left + (room - wide) // 2 if apart else left
        slots.append(_Slot(_largest(bars[first : last + 1]), first, last, left, x, wide))
    return slots


def _largest(bars: Sequence[Bar]) -> Bar:
    """Return the highest bar with the tick of the first; a missing one only if all are missing."""
    known = [bar for bar in bars if bar.value is not None and not math.isnan(bar.value)]
    highest = max(known, key=lambda bar: bar.value or 0.0, default=bars[0])
    others = [bar.other for bar in bars if bar.other is not None and not math.isnan(bar.other)]
    text = highest.text if len(bars) == 1 else ""
    return Bar(highest.value, bars[0].tick, text, max(others, default=None))


def _text_rows(slots: Sequence[_Slot], plot: Plot) -> int:
    """Return the number of lines for texts above the bars: 1 if all texts have room, else 0."""
    room = all(slot.bar.text and len(slot.bar.text) <= slot.width + 1 for slot in slots)
    if len(slots) > 1:
        gaps = min(b.left - a.left for a, b in itertools.pairwise(slots))
        room = room and all(len(slot.bar.text) < gaps for slot in slots)
    return 1 if room and plot.height >= 4 else 0


def _draw_ticks(
    canvas: Canvas, slots: Sequence[_Slot], plot: Plot, *, apart: bool, end_tick: str
) -> None:
    """Draw the texts below the axis; one that would touch its left neighbour is omitted."""
    line = plot.y + plot.height
    end = plot.x + plot.width
    limit = end - len(end_tick) - 1 if end_tick else end
    free_from = 0
    for slot in slots:
        at = slot.middle if apart else slot.left
        start = max(0, at - len(slot.bar.tick) // 2) if apart else at
        if not slot.bar.tick or start < free_from or start + len(slot.bar.tick) > limit:
            continue
        canvas.write(at, line, "┬", "axis")
        canvas.write(start, line + 1, slot.bar.tick, "axis")
        free_from = start + len(slot.bar.tick) + 1
    if end_tick:
        canvas.write(end - len(end_tick), line + 1, fitted(end_tick, plot.width), "axis")
        canvas.write(end - 1, line, "┬", "axis")


def horizontal_bar(value: float, axis: Axis, width: int) -> str:
    """Return a bar from the left, in eighths of a cell; at least one eighth for a placeable value.

    Args:
        value: Its length on the axis; without a place on it the bar is empty.
        axis: The scale.
        width: Cells of the longest bar.
    """
    if value == math.inf:
        return "█" * width
    if not placeable(value, log=axis.log):
        return ""
    share = fraction(value, axis.low, axis.high, log=axis.log)
    eighths = max(1, round(8 * width * share))
    return "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8].strip()


def value_text(value: float | None, significant: int = 2) -> str:
    """Format a value in few characters: ``0.13``, ``4e-05``, ``∞``, ``NaN``, ``—``."""
    if value is not None and math.isnan(value):
        return "NaN"
    return digits(value, significant=significant)


def range_of(values: Sequence[float]) -> str:
    """Format the range of the values, ``0.11 … 0.15``, without NaN; empty without values.

    Values that are written alike are written once.
    """
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return ""
    return " … ".join(dict.fromkeys(value_text(end, 3) for end in (min(known), max(known))))
