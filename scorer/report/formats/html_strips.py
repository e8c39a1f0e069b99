"""The KL mean of every chunk, a strip for each setting. Pure standard library but for Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scorer.report.formats.html_axes import Scale, line, logarithmic
from scorer.report.formats.html_elements import Element, element, number
from scorer.report.formats.html_parts import Scored, badge, named, scored_rows, section
from scorer.report.formats.inline import count, digits, plural
from scorer.report.formats.short_names import ShortNames
from scorer.report.tree import Report

_HEIGHT = 100
# An infinite chunk reaches to the top; the largest finite one a little less far.
_TOP = 4


@dataclass(frozen=True, slots=True)
class Bar:
    """Chunks that follow each other in the text.

    Attributes:
        mean: Mean of their KL means, nats.
        most: The largest of them.
    """

    mean: float
    most: float


def strips(report: Report, names: ShortNames, most_bars: int) -> Element | None:
    """The section of the chunks; None where none is known one by one.

    Args:
        report: The report.
        names: How the settings are called.
        most_bars: Bars of a strip; from more chunks on a bar stands for several.
    """
    scored = [(row, numbers) for row, numbers in scored_rows(report) if numbers.kl_mean_per_chunk]
    if not scored or most_bars < 1:
        return None
    values = [kl for _, numbers in scored for kl in numbers.kl_mean_per_chunk]
    bounds = report.verdict_bounds
    scale = logarithmic([*values, bounds.good.kl_mean, bounds.marginal.kl_mean], _HEIGHT, _TOP)
    parts = [_strip(each, report, names, scale, most_bars) for each in scored]
    longest = max(len(numbers.kl_mean_per_chunk) for _, numbers in scored)
    words = (
        f"A bar is the KL mean of a chunk in nats, on a logarithmic scale from {digits(scale.low)} "
        f"to {digits(scale.high)} that all settings share; the chunks stand in the order of the "
        f"text. Dashed: the bounds of the KL mean for good ({digits(bounds.good.kl_mean)}) and "
        f"marginal ({digits(bounds.marginal.kl_mean)})."
    )
    if longest > most_bars:
        each = math.ceil(longest / most_bars)
        words += (
            f" Thinned out: of {plural(longest, 'chunk')} a bar stands for up to {each} that "
            "follow each other, dark up to their mean and light up to the largest of them. The "
            "JSON report has every chunk."
        )
    return section(
        "Is the drift spread over the text, or in a few chunks?",
        element("p", words, class_="note"),
        *parts,
    )


def bars_of(values: Sequence[float], most: int) -> list[Bar]:
    """Values by turns in at most so many bars, as many in each as can be."""
    each = max(1, math.ceil(len(values) / most))
    found = []
    for i in range(0, len(values), each):
        part = values[i : i + each]
        found.append(Bar(math.fsum(part) / len(part) if _finite(part) else math.inf, max(part)))
    return found


def _finite(values: Sequence[float]) -> bool:
    return all(map(math.isfinite, values))


def _strip(each: Scored, report: Report, names: ShortNames, scale: Scale, most: int) -> Element:
    row, numbers = each
    values = numbers.kl_mean_per_chunk
    bars = bars_of(values, most)
    bounds = report.verdict_bounds
    thin = len(bars) < len(values)
    said = f"KL mean of each chunk under {names.of(row.setting)}"
    drawn = [element("title", said[:300])]
    if thin:
        drawn.append(_bars([bar.most for bar in bars], scale, "most"))
    drawn.append(_bars([bar.mean for bar in bars], scale, "mean"))
    for bound in (bounds.good.kl_mean, bounds.marginal.kl_mean):
        at = scale.at(bound)
        if scale.holds(bound):
            drawn.append(line([(0, at), (len(bars), at)], "bound"))
    picture = element(
        "svg",
        *drawn,
        viewBox=f"0 0 {len(bars)} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
    )
    chunks = report.chunks_of(row)
    ends = f"chunks {count(chunks[0])} to {count(chunks[-1])}" if chunks else ""
    infinite = sum(value == math.inf for value in values)
    largest = max(values)
    beyond = f", {count(infinite)} infinite" if infinite else ""
    return element(
        "div",
        element(
            "div",
            element("span", named(row.setting, names), " ", badge(numbers)),
            element(
                "span",
                f"{plural(len(values), 'chunk')}, largest {digits(largest)} nats{beyond}",
                class_="note",
            ),
            class_="head",
        ),
        element(
            "div",
            element(
                "div",
                element("span", digits(scale.high)),
                element("span", digits(scale.low)),
                class_="scale",
                aria_hidden="true",
            ),
            picture,
            class_="plot",
        ),
        element("div", f"{ends}, in the order of the text", class_="axis n") if ends else None,
        class_="strip",
    )


def _bars(values: Sequence[float], scale: Scale, kind: str) -> Element:
    gap = 0.12 if len(values) <= 200 else 0.0
    parts = []
    for i, value in enumerate(values):
        top = 0.0 if value == math.inf else scale.at(value)
        # A value at the lower end of the scale is seen as a line.
        height = max(_HEIGHT - top, 1.0)
        width = number(1 - gap) if gap else "1"
        parts.append(f"M{number(i + gap / 2)},{_HEIGHT}v-{number(height)}h{width}V{_HEIGHT}")
    return element("path", d="".join(parts), class_=kind)
