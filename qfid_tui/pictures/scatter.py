"""Scatter plot of KL against memory on a grid of cells, with Pareto frontier and labels."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

from qfid_tui.pictures.bars import draw_value_axis, value_text
from qfid_tui.pictures.canvas import VERDICT_SIGNS, Canvas, Picture, Plot, Role, cells_of, fitted
from qfid_tui.pictures.scale import Axis, linear_axis, log_axis, placeable
from scorer.report.formats.inline import count
from scorer.spec.amounts import shown_bytes
from scorer.spec.thresholds import KV, Thresholds

# With fewer rows, a label two rows away would be next to another point.
_ROWS_FOR_FAR_LABELS = 10
_COVERABLE: frozenset[Role] = frozenset({"guide"})
_COVERABLE_AT_NEED: frozenset[Role] = frozenset({"guide", "line"})


@dataclass(frozen=True, slots=True)
class ScatterPoint:
    """One setting of a run.

    Attributes:
        label: Short notation of the setting.
        bytes_per_token: Stored KV bytes per token.
        kl_mean: Mean KL, nats, any float: drawn at the bottom if not positive, at the top if +inf,
            and only listed if NaN.
        verdict: ``good``, ``marginal`` or ``bad``, with a question mark if open; may be empty.
        frontier: Whether no other setting is better in both.
        earlier: Whether it is from an earlier run.
        in_all: Whether the bytes are those of weights, cache and prefill, not those per token.
    """

    label: str
    bytes_per_token: float
    kl_mean: float
    verdict: str
    frontier: bool
    earlier: bool
    in_all: bool = False

    @property
    def mark(self) -> str:
        """Diamond on the frontier, else disc; hollow for an earlier run."""
        if self.earlier:
            return "◇" if self.frontier else "○"
        return "◆" if self.frontier else "●"

    @property
    def shown_verdict(self) -> str:
        """The verdict with its sign: ``✓ good``."""
        sign = VERDICT_SIGNS.get(self.verdict.rstrip("?"), "")
        return f"{sign} {self.verdict}".strip()

    @property
    def role(self) -> Role:
        """Role that decides the colour of the point and its label."""
        roles: dict[str, Role] = {"good": "good", "marginal": "marginal", "bad": "bad"}
        return "earlier" if self.earlier else roles.get(self.verdict.rstrip("?"), "text")

    @property
    def drawable(self) -> bool:
        """Whether it can be drawn in the picture."""
        return math.isfinite(self.bytes_per_token) and not math.isnan(self.kl_mean)

    @property
    def shown_cost(self) -> str:
        """Bytes per token in digits; bytes in all as an amount."""
        size = self.bytes_per_token
        if self.in_all and math.isfinite(size):
            return shown_bytes(size)
        return count(round(size)) if math.isfinite(size) else value_text(size)

    def reading(self) -> str:
        """Describe the point in words."""
        parts = [
            f"{self.label}: {self.shown_cost}{' in all' if self.in_all else ' bytes/token'}",
            f"{value_text(self.kl_mean, 3)} nats",
        ]
        parts += [self.shown_verdict] if self.verdict else []
        parts += ["on the frontier"] if self.frontier else []
        parts += ["earlier run"] if self.earlier else []
        return ", ".join(parts)


def draw_scatter(
    points: Sequence[ScatterPoint],
    width: int,
    height: int,
    cursor: int | None = None,
    bounds: Thresholds = KV,
) -> Picture:
    """Draw points over a linear axis of bytes and a logarithmic axis of KL.

    The frontier is a staircase: right of and above it, some setting is at least as good in both.
    Labels have the longest form that fits for all points; those that do not fit are ``missing``.

    Args:
        points: In any order; ``spots`` are in this order.
        width: Cells.
        height: Lines.
        cursor: Index of the highlighted point, or None.
        bounds: Those that the dashed lines stand for.
    """
    rows = height - 2
    drawable = [point for point in points if point.drawable]
    y_axis = log_axis([point.kl_mean for point in drawable], max(2, rows // 2))
    margin = max(len(text) for _, text in y_axis.ticks) + 1
    if rows < 3 or width - margin < 12:
        return _as_text(points, width, height, cursor)
    plot = Plot(margin, 0, width - margin, rows)
    sizes = [point.bytes_per_token for point in drawable]
    x_axis = linear_axis(sizes, max(2, plot.width // 10))
    spots = [_spot(point, x_axis, y_axis, plot) for point in points]
    picked = None if cursor is None else points[cursor]
    for with_names in (2, 1, 0):
        canvas = Canvas(width, height)
        draw_value_axis(canvas, y_axis, plot)
        _draw_size_axis(canvas, x_axis, plot)
        _draw_guides(canvas, y_axis, plot, bounds)
        _draw_frontier(canvas, points, spots)
        unnamed = _draw_points(canvas, points, spots, plot, picked, with_names)
        if not unnamed:
            break
    _name_guides(canvas, y_axis, plot, bounds)
    missing = [point.label for point in points if not point.drawable] + unnamed
    return Picture(canvas, [(x, y) for x, y in spots], missing)


def _as_text(
    points: Sequence[ScatterPoint], width: int, height: int, cursor: int | None
) -> Picture:
    """Write one line per point, if there is no room for axes."""
    canvas = Canvas(width, height)
    rows = [(p.label, p.shown_cost, value_text(p.kl_mean, 3), p.shown_verdict) for p in points]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    shown = _most_wanted(points) if cursor is None else cursor
    first = min(max(0, shown - height + 1), max(len(points) - height, 0))
    for y, point in enumerate(points[first : first + height]):
        role: Role = "cursor" if cursor == first + y else point.role
        label, cost, kl, verdict = rows[first + y]
        unit = "" if point.in_all else " B"
        line = (
            f"{point.mark} {label:{widths[0]}} {cost:>{widths[1]}}{unit} {kl:{widths[2]}} {verdict}"
        )
        canvas.write(0, y, fitted(line.rstrip(), width), role)
    return Picture(canvas, [(0, i - first) for i in range(len(points))])


def _most_wanted(points: Sequence[ScatterPoint]) -> int:
    """Index of the good point with the fewest bytes, else of that with the least KL."""
    order = range(len(points))
    good = [i for i in order if points[i].shown_verdict.startswith("✓")]
    if good:
        return min(good, key=lambda i: points[i].bytes_per_token)
    drawable = [i for i in order if points[i].drawable]
    return min(drawable, key=lambda i: points[i].kl_mean, default=0)


def _spot(point: ScatterPoint, x_axis: Axis, y_axis: Axis, plot: Plot) -> tuple[int, int]:
    if not point.drawable:
        return -1, -1
    x = plot.x + x_axis.place(point.bytes_per_token, plot.width)
    if placeable(point.kl_mean, log=True):
        row = y_axis.place(point.kl_mean, plot.height)
    else:
        row = plot.height - 1 if point.kl_mean > 0 else 0
    return x, plot.y + plot.height - 1 - row


def _draw_size_axis(canvas: Canvas, axis: Axis, plot: Plot) -> None:
    line = plot.y + plot.height
    free_from = 0
    for value, text in axis.ticks:
        x = plot.x + axis.place(value, plot.width)
        canvas.write(x, line, "┬", "axis")
        start = min(max(x - len(text) // 2, 0), canvas.width - len(text))
        if start >= free_from:
            canvas.write(start, line + 1, text, "axis")
            free_from = start + len(text) + 1


def _draw_guides(canvas: Canvas, axis: Axis, plot: Plot, bounds: Thresholds) -> None:
    """Draw dashed lines at the bounds of KL mean."""
    for _, y in _guides(axis, plot, bounds):
        canvas.write(plot.x, y, "┄" * plot.width, "guide")


def _name_guides(canvas: Canvas, axis: Axis, plot: Plot, bounds: Thresholds) -> None:
    """Label the dashed lines where cells are free."""
    for text, y in _guides(axis, plot, bounds):
        starts = range(plot.x + plot.width - len(text), plot.x + plot.width // 2, -1)
        free = (x for x in starts if canvas.is_free(x, y, len(text), _COVERABLE))
        if (x := next(free, None)) is not None:
            canvas.write(x, y, text, "guide")


def _guides(axis: Axis, plot: Plot, bounds: Thresholds) -> list[tuple[str, int]]:
    """Return text and row of each bound of KL mean that is on the axis."""
    return [
        (f" {text} ≤ {bound:g} ", plot.y + plot.height - 1 - axis.place(bound, plot.height))
        for text, bound in (("good", bounds.good.kl_mean), ("marginal", bounds.marginal.kl_mean))
        if axis.low < bound < axis.high
    ]


def _draw_frontier(
    canvas: Canvas, points: Sequence[ScatterPoint], spots: Sequence[tuple[int, int]]
) -> None:
    ends = sorted(s for p, s in zip(points, spots, strict=True) if p.frontier and p.drawable)
    for (x, y), (next_x, next_y) in itertools.pairwise(ends):
        for at in range(x + 1, next_x):
            canvas.write(at, y, "─", "line")
        low, high = sorted((y, next_y))
        for at in range(low + 1, high):
            canvas.write(next_x, at, "│", "line")
        if y != next_y:
            canvas.write(next_x, y, "╮" if next_y > y else "╯", "line")


def _draw_points(
    canvas: Canvas,
    points: Sequence[ScatterPoint],
    spots: Sequence[tuple[int, int]],
    plot: Plot,
    picked: ScatterPoint | None,
    names: int,
) -> list[str]:
    """Draw marks, then labels in order of importance; return the labels without room."""
    wanted = _most_wanted(points)
    ranked = sorted(
        (i for i, point in enumerate(points) if point.drawable),
        key=lambda i: (
            points[i] is not picked,
            i != wanted,
            points[i].earlier,
            not points[i].frontier,
        ),
    )
    for i in reversed(ranked):
        role: Role = "cursor" if points[i] is picked else points[i].role
        canvas.write(*spots[i], points[i].mark, role)
    unnamed = []
    for i in ranked:
        point = points[i]
        text = _name(point, names)
        place = _place(canvas, spots[i], len(cells_of(text)), plot)
        if place is None:
            unnamed.append(point.label)
        else:
            canvas.write(*place, text, "cursor" if point is picked else point.role)
    return unnamed


def _name(point: ScatterPoint, length: int) -> str:
    """Return the label with sign of the verdict and value (2), with the sign (1), or alone (0)."""
    is_open = point.verdict.endswith("?")
    sign = VERDICT_SIGNS.get(point.verdict.rstrip("?"), "") + ("?" if is_open else "")
    parts = [point.label, sign, value_text(point.kl_mean)]
    return " ".join(part for part in parts[: 1 + length] if part)


def _place(
    canvas: Canvas, spot: tuple[int, int], length: int, plot: Plot
) -> tuple[int, int] | None:
    """Return the nearest free position for a label of ``length`` cells beside its point."""
    x, y = spot
    beside = [(x + 2, y), (x - length - 1, y)]
    over = [(left, row) for row in (y - 1, y + 1) for left in (x + 1, x - length // 2, x - length)]
    if plot.height >= _ROWS_FOR_FAR_LABELS:
        over += [(left, row) for row in (y - 2, y + 2) for left in (x + 1, x - length)]
    for coverable in (_COVERABLE, _COVERABLE_AT_NEED):
        for left, row in [*beside, *over]:
            inside = plot.x <= left and left + length <= plot.x + plot.width
            inside = inside and plot.y <= row < plot.y + plot.height
            # A blank on both sides separates two labels.
            start, end = max(left - 1, plot.x), min(left + length + 1, plot.x + plot.width)
            if row == y:
                start, end = (left, end) if left > x else (start, left + length)
            if inside and canvas.is_free(start, row, end - start, coverable):
                return left, row
    return None
