"""Cost against drift, a chart for each start and path. Pure standard library but for Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scorer.report.formats.html_axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    RIGHT,
    TOP,
    WIDTH,
    chart,
    label,
    line,
    linear,
    logarithmic,
    marker,
)
from scorer.report.formats.html_elements import Element, element
from scorer.report.formats.html_parts import (
    MARKS_WORDS,
    SHAPES,
    figure,
    kl_on,
    name_of,
    scored_rows,
    section,
)
from scorer.report.formats.inline import count, digits, plural
from scorer.report.formats.markdown import conditions
from scorer.report.formats.short_names import ShortNames
from scorer.report.formats.stopping_words import intervals_name
from scorer.report.tree import Frontier, Report
from scorer.spec.amounts import tokens_word
from scorer.stats.intervals import Interval

_LABEL = 22
_LETTER, _LINE = 6.7, 12


@dataclass(frozen=True, slots=True)
class Point:
    """A setting in the chart.

    Attributes:
        name: Its label.
        x: Value across.
        kl: KL mean, nats; may be +inf or, from rounding, not above 0.
        ends: Its 95 % interval, nats; None where there is none over these chunks.
        verdict: Its tier.
        said: What it is, in words.
        on_frontier: Whether no other beats it.
    """

    name: str
    x: float
    kl: float
    ends: Interval | None
    verdict: str
    said: str
    on_frontier: bool = False


def pareto(report: Report, names: ShortNames) -> Element | None:
    """The section of the frontiers; None where nothing was scored."""
    figures = [_frontier(report, frontier, names) for frontier in report.frontiers]
    shown = [found for found in figures if found is not None]
    if not shown:
        return None
    return section(
        "What a setting costs and how far it drifts", element("div", *shown, class_="charts")
    )


def _frontier(report: Report, frontier: Frontier, names: ShortNames) -> Element | None:
    members = [
        (row, numbers)
        for row, numbers in scored_rows(report)
        if (row.quantize_start, row.path) == (frontier.quantize_start, frontier.path)
    ]
    if not members or (len(members) == 1 and len(report.frontiers) > 1):
        return None
    own = [frozenset(report.chunks_of(row)) for row, _ in members]
    common = frozenset.intersection(*own)
    place = report.deployment
    points = []
    for (row, numbers), chunks in zip(members, own, strict=True):
        cost = row.kv_bytes_per_token
        if place is not None:
            cell = place.cell(row.setting)
            if cell is not None:
                cost = cell.least_bytes / 1e6
            elif cost is not None:
                weights = row.weights or report.reference.weights
                cost = cost * place.context * place.parallel
                cost = (cost + (0 if weights is None else weights.weight_bytes)) / 1e6
        if cost is None:
            continue
        kl = kl_on(row, numbers, report, common)
        unit = "MB" if place is not None else "bytes per token"
        points.append(
            Point(
                name=name_of(row.setting, names, _LABEL),
                x=cost,
                kl=kl,
                ends=numbers.intervals.kl_mean if chunks == common else None,
                verdict=numbers.verdict,
                said=f"{name_of(row.setting, names)}: {count(cost)} {unit}, KL mean {digits(kl)} "
                f"nats, {numbers.verdict_shown}",
                on_frontier=row.setting in frontier.settings,
            )
        )
    if place is None:
        title, axis = "Memory of the KV cache against drift", "KV cache (bytes per token)"
    else:
        title = "Total memory against drift"
        axis = f"least total at {tokens_word(place.context)} tokens of context (MB)"
    if len(report.frontiers) > 1:
        title += f": {conditions(frontier.quantize_start, frontier.path)}"
    svg, unnamed = scatter(title, axis, points)
    note = (
        f"KL mean over {plural(len(common), 'chunk')} with its {intervals_name(report)}, lower is "
        f"better. Dashed: the frontier, which no setting beats in both. {MARKS_WORDS}"
    )
    if unnamed:
        note += f" {plural(unnamed, 'point')} without room for a name: see the table."
    return figure(title, svg, note=note)


def scatter(title: str, x_title: str, points: Sequence[Point]) -> tuple[Element, int]:
    """A scatter of KL means on a logarithmic scale.

    Returns:
        The chart, and how many points have no room for their name.
    """
    bottom = HEIGHT - BOTTOM
    x = linear([point.x for point in points], LEFT + 12, WIDTH - RIGHT - 12)
    means = [point.kl for point in points]
    ends = [end for p in points if p.ends for end in (p.ends.low, p.ends.high) if end > 0]
    least = min((mean for mean in means if 0 < mean < math.inf), default=1e-3)
    # An interval that reaches almost to 0 does not stretch the scale.
    y = logarithmic([*means, *(max(end, least / 3) for end in ends)], bottom - 6, TOP + 8)
    drawn: list[Element] = []
    front = sorted((p.x, p.kl) for p in points if p.on_frontier)
    if len(front) > 1:
        drawn.append(line([(x.at(a), y.at(b)) for a, b in front], "front"))
    for p in points:
        if p.ends is not None:
            at = x.at(p.x)
            drawn.append(line([(at, y.at(p.ends.low)), (at, y.at(p.ends.high))], "err"))
    boxes = [(x.at(p.x) - 6, y.at(p.kl) - 6, x.at(p.x) + 6, y.at(p.kl) + 6) for p in points]
    unnamed = 0
    for i in sorted(range(len(points)), key=lambda i: not points[i].on_frontier):
        p = points[i]
        at, up = x.at(p.x), y.at(p.kl)
        kind = f"m-{p.verdict}" if p.verdict in SHAPES else "d4"
        drawn.append(marker(SHAPES.get(p.verdict, "diamond"), at, up, kind, p.said))
        text = p.name + (" = 0" if p.kl <= 0 else " = ∞" if p.kl == math.inf else "")
        width = _LETTER * len(text)
        for left, top, anchor in (
            (at + 9, up - 6, None),
            (at - 9 - width, up - 6, "end"),
            (at - width / 2, up - 20, "mid"),
            (at - width / 2, up + 9, "mid"),
        ):
            box = (left, top, left + width, top + _LINE)
            inside = left >= 2 and box[2] <= WIDTH - 2 and top >= TOP - 8 and box[3] <= bottom + 2
            if inside and not any(_meet(box, other) for j, other in enumerate(boxes) if j != i):
                boxes.append(box)
                place = {None: left, "end": left + width, "mid": at}[anchor]
                drawn.append(label(place, top + 10, text, anchor))
                break
        else:
            unnamed += 1
    return chart(title, (x, x_title), (y, "KL mean (nats)"), drawn), unnamed


def _meet(a: tuple[float, ...], b: tuple[float, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]
