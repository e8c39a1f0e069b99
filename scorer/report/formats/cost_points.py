"""What the settings of a frontier cost and how far they drift, as points of a chart.

Pure standard library but for Markdown.
"""

from __future__ import annotations

from dataclasses import dataclass

from scorer.report.formats.html_parts import kl_on, name_of, scored_rows
from scorer.report.formats.inline import count, digits
from scorer.report.formats.short_names import ShortNames
from scorer.report.tree import Frontier, Report
from scorer.spec.amounts import tokens_word
from scorer.stats.intervals import Interval


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


def cost_words(report: Report) -> tuple[str, str]:
    """Title of the chart, and what its horizontal axis holds."""
    place = report.deployment
    if place is None:
        return "Memory of the KV cache against drift", "KV cache (bytes per token)"
    at = tokens_word(place.context)
    return "Total memory against drift", f"least total at {at} tokens of context (MB)"


def cost_points(
    report: Report, frontier: Frontier, names: ShortNames, most: int
) -> tuple[list[Point], int]:
    """The settings of a start and path.

    Args:
        report: The report.
        frontier: Says which start and path.
        names: How settings are called.
        most: Characters of a label.

    Returns:
        Points, and over how many chunks their means are. No point and 0 where a chart of them says
        nothing: nothing is scored, or one setting alone beside other frontiers.
    """
    members = [
        (row, numbers)
        for row, numbers in scored_rows(report)
        if (row.quantize_start, row.path) == (frontier.quantize_start, frontier.path)
    ]
    if not members or (len(members) == 1 and len(report.frontiers) > 1):
        return [], 0
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
                name=name_of(row.setting, names, most),
                x=cost,
                kl=kl,
                ends=numbers.intervals.kl_mean if chunks == common else None,
                verdict=numbers.verdict,
                said=f"{name_of(row.setting, names)}: {count(cost)} {unit}, KL mean {digits(kl)} "
                f"nats, {numbers.verdict_shown}",
                on_frontier=row.setting in frontier.settings,
            )
        )
    return points, len(common)
