"""Drift by depth and by confidence as lines. Pure standard library but for Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scorer.report.formats.html_axes import (
    BOTTOM,
    HEIGHT,
    LEFT,
    MARKERS,
    RIGHT,
    TOP,
    WIDTH,
    Scale,
    chart,
    line,
    linear,
    logarithmic,
    marker,
)
from scorer.report.formats.html_elements import Child, Element, element
from scorer.report.formats.html_parts import (
    Scored,
    figure,
    folded,
    name_of,
    plain_table,
    scored_rows,
    section,
)
from scorer.report.formats.inline import ABSENT, count, digits, percent
from scorer.report.formats.short_names import ShortNames
from scorer.report.tree import Report
from scorer.stats.summary_values import DepthSpan

_TOGETHER = len(MARKERS)
_X = LEFT, WIDTH - RIGHT
_Y = HEIGHT - BOTTOM, TOP


@dataclass(frozen=True, slots=True)
class Series:
    """A line of a chart.

    Attributes:
        name: Its name.
        points: Values across and upwards; NaN upwards where there is none.
    """

    name: str
    points: tuple[tuple[float, float], ...]


def depth(report: Report, names: ShortNames) -> Element | None:
    """The section of drift by position; None where nothing was scored."""
    alike: dict[int, list[Scored]] = {}
    for row, numbers in scored_rows(report):
        if numbers.kl_by_depth:
            first = max(row.quantize_start, report.run.scored_from)
            alike.setdefault(first, []).append((row, numbers))
    figures: list[Child] = []
    tables: list[Child] = []
    for first, same in alike.items():
        title = "Drift by depth in the chunk"
        if len(alike) > 1:
            title += f", scored from position {count(first)} on"
        values = [_or_nan(span.kl_mean) for _, numbers in same for span in numbers.kl_by_depth]
        y = logarithmic(values, *_Y)
        ends = [float(first + span.end) for _, numbers in same for span in numbers.kl_by_depth]
        x = linear([float(first), *ends], *_X, to_ticks=False)
        for part in _parts(same):
            series = [
                Series(
                    name_of(row.setting, names),
                    tuple(
                        (first + (span.start + span.end - 1) / 2, _or_nan(span.kl_mean))
                        for span in numbers.kl_by_depth
                    ),
                )
                for row, numbers in part
            ]
            figures.append(
                lines_figure(
                    title, (x, "position in the chunk (tokens)"), (y, "KL mean (nats)"), series
                )
            )
        spans = same[0][1].kl_by_depth
        rows: list[list[Child]] = [
            [
                f"{count(first + span.start)}–{count(first + span.end - 1)}",
                *(_span_cell(numbers.kl_by_depth, i) for _, numbers in same),
            ]
            for i, span in enumerate(spans)
        ]
        head = ["positions", *(name_of(row.setting, names) for row, _ in same)]
        tables.append(plain_table(head, rows))
    if not figures:
        return None
    return section(
        "Does the drift grow with depth?",
        element("div", *figures, class_="charts"),
        folded("The numbers: KL mean (nats) by position", *tables),
    )


def _span_cell(spans: Sequence[DepthSpan], i: int) -> str:
    return digits(spans[i].kl_mean) if i < len(spans) else ABSENT


def confidence(report: Report, names: ShortNames) -> Element | None:
    """The section of drift by the reference's confidence; None where nothing was scored."""
    scored = [(row, numbers) for row, numbers in scored_rows(report) if numbers.by_confidence]
    if not scored:
        return None
    buckets = [bucket for _, numbers in scored for bucket in numbers.by_confidence]
    x = linear([0.0, 1.0], *_X)
    kl = logarithmic([_or_nan(bucket.kl_mean) for bucket in buckets], *_Y)
    flips = linear([0.0, *(100 * (bucket.flip_rate or 0.0) for bucket in buckets)], *_Y)
    name = "top probability of the reference"
    figures: list[Child] = []
    for part in _parts(scored):
        means, shares = [], []
        for row, numbers in part:
            called = name_of(row.setting, names)
            at = [((b.low + b.high) / 2, b) for b in numbers.by_confidence]
            means.append(Series(called, tuple((m, _or_nan(b.kl_mean)) for m, b in at)))
            shares.append(Series(called, tuple((m, 100 * _or_nan(b.flip_rate)) for m, b in at)))
        figures.append(lines_figure("KL by confidence", (x, name), (kl, "KL mean (nats)"), means))
        figures.append(lines_figure("Flips by confidence", (x, name), (flips, "flips (%)"), shares))
    head = ["top probability", "positions", *(name_of(row.setting, names) for row, _ in scored)]
    rows: list[list[Child]] = []
    for i, bucket in enumerate(scored[0][1].by_confidence):
        cells: list[Child] = []
        for _, numbers in scored:
            own = numbers.by_confidence[i] if i < len(numbers.by_confidence) else None
            cells.append(
                ABSENT
                if own is None or not own.n_positions
                else f"{digits(own.kl_mean)} · {percent(own.flip_rate, significant=3)}"
            )
        edges = f"{digits(bucket.low)} to {digits(bucket.high)}"
        rows.append([edges, count(bucket.n_positions), *cells])
    return section(
        "Where the reference is sure, and where it is not",
        element("div", *figures, class_="charts"),
        folded("The numbers: KL mean (nats) · flips", plain_table(head, rows)),
    )


def lines_figure(
    title: str, x: tuple[Scale, str], y: tuple[Scale, str], series: Sequence[Series]
) -> Element:
    """A chart of lines with its legend.

    Args:
        title: What is seen.
        x: Scale across, and the name of its values with their unit.
        y: Scale upwards, likewise.
        series: At most as many lines as there are markers.
    """
    drawn: list[Child] = []
    apart = 0
    for i, each in enumerate(series):
        known = [(x[0].at(a), y[0].at(b), b) for a, b in each.points if not math.isnan(b)]
        if y[0].logarithmic:
            apart += sum(not 0 < b < math.inf for _, _, b in known)
        drawn.append(line([(a, b) for a, b, _ in known] or [(0, 0)], f"line s{i} p{i}"))
        for a, b, value in known:
            said = f"{each.name}: {digits(value)}"
            drawn.append(marker(MARKERS[i], a, b, f"s{i} d{i}", said, 3.2))
    note = ""
    if apart:
        note = f"On the edge of the chart: {apart} of the values, which are infinite or not above 0"
    keys = [
        element(
            "li",
            element(
                "svg",
                line([(0, 6), (34, 6)], f"line s{i} p{i}"),
                marker(MARKERS[i], 17, 6, f"s{i} d{i}", size=3.6),
                viewBox="0 0 34 12",
                aria_hidden="true",
            ),
            element("code", each.name),
        )
        for i, each in enumerate(series)
    ]
    drawing = chart(title, x, y, drawn)
    return figure(title, drawing, element("ul", *keys, class_="legend"), note=note)


def _parts(rows: Sequence[Scored]) -> list[Sequence[Scored]]:
    return [rows[i : i + _TOGETHER] for i in range(0, len(rows), _TOGETHER)]


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
