"""Scales, ticks and the frame of a chart, as inline SVG. Pure standard library.

A chart is drawn for a width of some 380 pixels: on a phone it is shown at that size, so that its
text stays readable, and two or three stand side by side on a wider screen.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from scorer.report.formats.html_elements import Child, Element, element, number
from scorer.report.formats.inline import digits

WIDTH, HEIGHT = 380, 280
LEFT, RIGHT, TOP, BOTTOM = 56, 14, 30, 46
MARKERS = ("circle", "square", "triangle", "diamond", "cross")
"""Of the series, and by verdict: shapes tell apart what colours do."""
_MOST_TICKS = 7


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels along one axis.

    Attributes:
        low: The smallest value of the axis; above 0 where it is logarithmic.
        high: The largest; above ``low``.
        start: Pixel of ``low``.
        end: Pixel of ``high``.
        logarithmic: Whether equal factors are equal lengths.
        ticks: Values with a label, ascending.
    """

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool
    ticks: tuple[float, ...]

    def at(self, value: float) -> float:
        """The pixel of a value; the nearer end for one that lies outside."""
        return self.start + self.share(value) * (self.end - self.start)

    def share(self, value: float) -> float:
        """Where a value lies, 0 to 1."""
        if math.isnan(value) or value <= self.low:
            return 0.0
        if value >= self.high:
            return 1.0
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def logarithmic(values: Iterable[float], start: float, end: float) -> Scale:
    """A scale over the finite values above 0: whole decades, or from 1, 2, 5 to 1, 2, 5."""
    known = [value for value in values if 0 < value < math.inf]
    least, most = (max(min(known), 1e-300), max(known)) if known else (1e-3, 1.0)
    steps = [
        float(f"{factor}e{decade}")
        for decade in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
        for factor in (1, 2, 5)
    ]
    low = max((step for step in steps if step <= least), default=steps[0])
    high = min((step for step in steps if step >= most), default=steps[-1])
    if high <= low:
        at = steps.index(low)
        low, high = steps[max(0, at - 1)], steps[min(len(steps) - 1, at + 1)]
    ticks = [step for step in steps if low <= step <= high]
    if len(ticks) > _MOST_TICKS:
        ticks = [tick for tick in ticks if f"{tick:.0e}".startswith("1")]
    every = math.ceil(len(ticks) / _MOST_TICKS)
    return Scale(low, high, start, end, True, tuple(ticks[::every]))


def linear(values: Iterable[float], start: float, end: float, *, to_ticks: bool = True) -> Scale:
    """A scale over finite values: from 0 unless all lie far above it.

    Args:
        values: The values.
        start: Pixel of the smallest.
        end: Pixel of the largest.
        to_ticks: Whether the scale goes on to the next label; else it ends with the largest value.
    """
    known = [value for value in values if math.isfinite(value)] or [0.0]
    least, most = min(known), max(known)
    if 0 <= least < 0.6 * most or most == least:
        least = min(0.0, least)
    span = (most - least) or 1.0
    step = _step(span / 5)
    low, high = math.floor(least / step) * step, math.ceil(most / step - 1e-9) * step
    count = max(1, round((high - low) / step))
    ticks = tuple(low + i * step for i in range(count + 1))
    if not to_ticks and most > low:
        return Scale(low, most, start, end, False, tuple(t for t in ticks if t <= most))
    return Scale(low, ticks[-1], start, end, False, ticks)


def _step(rough: float) -> float:
    """The next larger of 1, 2, 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= rough * (1 - 1e-9))


def chart(
    title: str,
    x: tuple[Scale, str],
    y: tuple[Scale, str],
    drawn: Iterable[Child],
    *,
    height: int = HEIGHT,
    labels: Sequence[tuple[float, str]] | None = None,
) -> Element:
    """A chart with its axes.

    Args:
        title: What is seen, for readers of screens.
        x: Scale across, and the name of its values with their unit.
        y: Scale upwards, and the name of its values with their unit.
        drawn: What stands inside, first the lowest.
        height: Pixels.
        labels: Instead of ticks upwards: pixels and their texts.
    """
    across, up = x[0], y[0]
    bottom = height - BOTTOM
    frame: list[Child] = [element("title", title)]
    for tick in across.ticks:
        at = across.at(tick)
        frame.append(line([(at, TOP), (at, bottom)], "grid"))
        frame.append(label(at, bottom + 16, digits(tick), "mid"))
    marks = [(up.at(tick), digits(tick)) for tick in up.ticks] if labels is None else labels
    for at, text in marks:
        frame.append(line([(LEFT, at), (WIDTH - RIGHT, at)], "grid"))
        frame.append(label(LEFT - 6, at + 4, text, "end"))
    frame.append(label(4, 14, y[1]))
    frame.append(label(WIDTH - RIGHT, height - 10, x[1], "end"))
    return element("svg", *frame, *drawn, viewBox=f"0 0 {WIDTH} {height}", role="img")


def label(x: float, y: float, text: str, anchor: str | None = None) -> Element:
    """A text at a place; ``mid`` and ``end`` tell what of it stands there."""
    return element("text", text, x=x, y=y, class_=anchor)


def line(points: Sequence[tuple[float, float]], kind: str) -> Element:
    """A line through points."""
    shown = "L".join(f"{number(x)},{number(y)}" for x, y in points)
    return element("path", d=f"M{shown}", class_=kind)


def marker(shape: str, x: float, y: float, kind: str, said: str = "", size: float = 4.5) -> Element:
    """A mark at a place.

    Args:
        shape: One of ``MARKERS``.
        x: Pixels.
        y: Pixels.
        kind: Classes.
        said: What it stands for, shown where a pointer rests on it.
        size: Pixels to each side.
    """
    title = element("title", said) if said else None
    if shape == "circle":
        return element("circle", title, cx=x, cy=y, r=size, class_=kind)
    a = size
    shapes = {
        "square": [(-a, -a), (a, -a), (a, a), (-a, a)],
        "triangle": [(0, -1.2 * a), (1.1 * a, 0.9 * a), (-1.1 * a, 0.9 * a)],
        "diamond": [(0, -1.3 * a), (1.3 * a, 0), (0, 1.3 * a), (-1.3 * a, 0)],
    }
    if shape not in shapes:
        arms = ((x - a, y - a, x + a, y + a), (x - a, y + a, x + a, y - a))
        path = "".join(f"M{number(p)},{number(q)}L{number(r)},{number(s)}" for p, q, r, s in arms)
    else:
        path = "M" + "L".join(f"{number(x + p)},{number(y + q)}" for p, q in shapes[shape]) + "Z"
    return element("path", title, d=path, class_=kind)
