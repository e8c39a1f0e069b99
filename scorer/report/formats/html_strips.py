"""The KL mean of every chunk, a strip for each setting. Pure standard library but for Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scorer.report.formats.html_axes import line
from scorer.report.formats.html_elements import Element, cut, element, number
from scorer.report.formats.html_parts import Scored, badge, named, scored_rows, section
from scorer.report.formats.inline import count, digits, plural
from scorer.report.formats.short_names import ShortNames
from scorer.report.setting_row import SettingNumbers
from scorer.report.tree import Report

_HEIGHT = 100
_MIDDLE = _HEIGHT / 2
_LEAST_FACTOR = 2.0


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
    factor = _factor([numbers for _, numbers in scored])
    parts = [_strip(each, report, names, factor, most_bars) for each in scored]
    longest = max(len(numbers.kl_mean_per_chunk) for _, numbers in scored)
    words = (
        "A bar is the KL mean of a chunk in nats, on a logarithmic scale. The line in the middle "
        "is the setting's mean; every strip reaches from "
        f"{digits(factor)} times less to {digits(factor)} times more, so that strips can be "
        "compared with each other. What lies beyond ends at the edge. The chunks stand in the "
        "order of the text."
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


def _factor(settings: Sequence[SettingNumbers]) -> float:
    """How many times its mean the largest finite chunk of any setting is, rounded up."""
    most = _LEAST_FACTOR
    for numbers in settings:
        mean = _mean(numbers.kl_mean_per_chunk)
        known = [value for value in numbers.kl_mean_per_chunk if math.isfinite(value)]
        if mean > 0 and known:
            most = max(most, max(known) / mean)
    power = 10.0 ** math.floor(math.log10(most))
    return next(f * power for f in (1, 2, 5, 10) if f * power >= most)


def _mean(values: Sequence[float]) -> float:
    """The mean of the finite ones; 0 for none."""
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else 0.0


def _strip(each: Scored, report: Report, names: ShortNames, factor: float, most: int) -> Element:
    row, numbers = each
    values = numbers.kl_mean_per_chunk
    bars = bars_of(values, most)
    mean = _mean(values)
    said = f"KL mean of each chunk under {names.of(row.setting)}"
    drawn = [element("title", cut(said, 300))]
    if len(bars) < len(values):
        drawn.append(_bars([bar.most for bar in bars], mean, factor, "most"))
    drawn.append(_bars([bar.mean for bar in bars], mean, factor, "mean"))
    drawn.append(line([(0, _MIDDLE), (len(bars), _MIDDLE)], "base"))
    picture = element(
        "svg",
        *drawn,
        viewBox=f"0 0 {len(bars)} {_HEIGHT}",
        preserveAspectRatio="none",
        role="img",
    )
    chunks = report.chunks_of(row)
    ends = f" from {count(chunks[0])} to {count(chunks[-1])}" if len(chunks) > 1 else ""
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
                f"{plural(len(values), 'chunk')}{ends}, largest {digits(largest)} nats{beyond}",
                class_="note",
            ),
            class_="head",
        ),
        element(
            "div",
            element(
                "div",
                element("span", digits(mean * factor, significant=2)),
                element("span", digits(mean, significant=2)),
                element("span", digits(mean / factor, significant=2)),
                class_="scale",
                aria_hidden="true",
            ),
            picture,
            class_="plot",
        ),
        class_="strip",
    )


def _bars(values: Sequence[float], mean: float, factor: float, kind: str) -> Element:
    gap = 0.12 if len(values) <= 200 else 0.0
    parts = []
    for i, value in enumerate(values):
        at = _share(value, mean, factor) * _MIDDLE
        # A value of the mean is seen as a line.
        at = at if abs(at) >= 1 else 1.0
        left, width = number(i + gap / 2), number(1 - gap)
        parts.append(f"M{left},{number(_MIDDLE)}v{number(-at)}h{width}V{number(_MIDDLE)}")
    return element("path", d="".join(parts), class_=kind)


def _share(value: float, mean: float, factor: float) -> float:
    """Where a value lies: 0 at the mean, 1 that many times above it, -1 below."""
    if value == math.inf:
        return 1.0
    if mean <= 0 or value <= 0:
        return 0.0 if mean <= 0 else -1.0
    return max(-1.0, min(1.0, math.log(value / mean) / math.log(factor)))
