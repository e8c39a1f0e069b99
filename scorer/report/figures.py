"""The charts of a report as SVG and PNG, for papers: ``qfid report RUN --figures DIR``.

They show what the charts of the page show, in black on white, by matplotlib, which is an extra.
Shapes and line styles tell settings apart where colours do not. Colours: the palette of Okabe and
Ito (2008), "Color Universal Design", which people with impaired colour vision can tell apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scorer.common.errors import InputError
from scorer.common.install_command import install_command
from scorer.report.formats.cost_points import Point, cost_points, cost_words
from scorer.report.formats.html_axes import logarithmic as logarithmic_scale
from scorer.report.formats.html_parts import Scored, name_of, scored_rows
from scorer.report.formats.inline import digits
from scorer.report.formats.markdown import conditions
from scorer.report.formats.short_names import ShortNames, short_names
from scorer.report.tree import Frontier, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FORMATS = ("svg", "png")
_DOTS_PER_INCH = 300
_LABEL = 28
# A column of a page of two, inches.
_WIDTH, _HEIGHT = 3.5, 2.6
_STRIP = 0.7
_MOST_STRIPS = 24
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_OF_VERDICTS = {"good": ("o", "#009E73"), "marginal": ("^", "#E69F00"), "bad": ("s", "#D55E00")}
_STYLE: Any = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.grid": True,
    "grid.linewidth": 0.4,
    "grid.color": "#dddddd",
    "lines.linewidth": 1.1,
    "lines.markersize": 4,
    "legend.fontsize": 7,
    "legend.frameon": False,
    # A name is no formula, whatever it holds.
    "text.parse_math": False,
    # The same report gives the same file.
    "svg.hashsalt": "qfid",
}
_METADATA: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "png": {"Software": None}}

Draw = Callable[["Figure"], None]


def write_figures(report: Report, folder: Path, formats: Sequence[str] = FORMATS) -> list[Path]:
    """Write the charts of a report, each as SVG and as PNG of 300 dots an inch.

    Args:
        report: The report.
        folder: Where; made if it is missing. Files of the same name are replaced.
        formats: ``svg``, ``png`` or both.

    Returns:
        The files.

    Raises:
        InputError: matplotlib is not installed, nothing was scored, or the folder cannot be
            written.
    """
    try:
        from matplotlib import rc_context
        from matplotlib.figure import Figure
    except ImportError as error:
        raise InputError(
            f"figures are drawn by matplotlib, which cannot be imported: {error}",
            install_command("qfid[figures]"),
        ) from error
    charts = list(_charts(report))
    if not charts:
        raise InputError("nothing is scored yet that a figure could show", "score a chunk first")
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with rc_context(_STYLE):
            for name, height, draw in charts:
                figure = Figure(figsize=(_WIDTH, height))
                draw(figure)
                for ending in formats:
                    path = folder / f"{name}.{ending}"
                    # As large as the names beside the chart need.
                    figure.savefig(
                        path,
                        format=ending,
                        dpi=_DOTS_PER_INCH,
                        metadata=_METADATA[ending],
                        bbox_inches="tight",
                    )
                    written.append(path)
    except OSError as error:
        raise InputError(
            f"the figures cannot be written: {error}", "name a folder that you may write to"
        ) from error
    return written


def _charts(report: Report) -> Iterator[tuple[str, float, Draw]]:
    """File name without its ending, height in inches and drawing of each chart."""
    names = short_names(report)
    several = len(report.frontiers) > 1
    for number, frontier in enumerate(report.frontiers, start=1):
        points, chunks = cost_points(report, frontier, names, _LABEL)
        if chunks and points:
            name = f"cost-and-drift-{number}" if several else "cost-and-drift"
            yield name, _HEIGHT, _cost(report, frontier, points, chunks)
    scored = scored_rows(report)
    with_chunks = [each for each in scored if each[1].kl_mean_per_chunk][:_MOST_STRIPS]
    if with_chunks:
        height = 0.5 + _STRIP * len(with_chunks)
        yield "chunks", height, lambda figure: _chunks(figure, report, with_chunks, names)
    starts = dict.fromkeys(_first_position(report, each) for each in scored if each[1].kl_by_depth)
    for first in starts:
        same = [each for each in scored if _first_position(report, each) == first]
        name = f"depth-from-{first}" if len(starts) > 1 else "depth"
        yield name, _HEIGHT, _depth(same, names, first)
    by_confidence = [each for each in scored if each[1].by_confidence]
    if by_confidence:
        yield "kl-by-confidence", _HEIGHT, _confidence(by_confidence, names, flips=False)
        yield "flips-by-confidence", _HEIGHT, _confidence(by_confidence, names, flips=True)


def _first_position(report: Report, each: Scored) -> int:
    return max(each[0].quantize_start, report.run.scored_from)


def _cost(report: Report, frontier: Frontier, points: Sequence[Point], chunks: int) -> Draw:
    title, axis = cost_words(report)
    if len(report.frontiers) > 1:
        title += f"\n{conditions(frontier.quantize_start, frontier.path)}"

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        shown = [p for p in points if 0 < p.kl < math.inf]
        front = sorted((p.x, p.kl) for p in shown if p.on_frontier)
        axes.plot(*zip(*front, strict=True), "--", color="#888888", zorder=1) if front else None
        for p in shown:
            marker, colour = _OF_VERDICTS.get(p.verdict, ("D", "#000000"))
            ends = None
            if p.ends is not None and p.ends.high < math.inf:
                low = max(p.kl - max(p.ends.low, p.kl / 10), 0.0)
                ends = [[low], [max(p.ends.high - p.kl, 0.0)]]
            axes.errorbar(p.x, p.kl, yerr=ends, fmt=marker, color=colour, capsize=2, zorder=2)
            axes.annotate(
                p.name, (p.x, p.kl), xytext=(4, 4), textcoords="offset points", fontsize=7
            )
        axes.margins(x=0.12, y=0.12)
        _decades(axes, [p.kl for p in shown])
        axes.set(xlabel=axis, ylabel=_mean_over(chunks), title=title)

    return draw


def _mean_over(chunks: int) -> str:
    return f"KL mean (nats), {chunks} chunk{'s' * (chunks != 1)}"


def _chunks(figure: Figure, report: Report, scored: Sequence[Scored], names: ShortNames) -> None:
    """A strip for each setting: the KL mean of every chunk, in the order of the text."""
    grid = figure.subplots(len(scored), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (row, numbers) in zip(grid, scored, strict=True):
        chunks = report.chunks_of(row)
        values = [kl if 0 < kl < math.inf else math.nan for kl in numbers.kl_mean_per_chunk]
        axes.plot(chunks[: len(values)], values, ".", markersize=3, color=_COLOURS[0])
        if 0 < numbers.kl.mean < math.inf:
            axes.axhline(numbers.kl.mean, linewidth=0.6, color="#888888")
        _decades(axes, values)
        axes.set_ylabel(name_of(row.setting, names, 14), rotation=0, ha="right", va="center")
    grid[0].set_title("KL mean of each chunk (nats); the line: of all")
    grid[-1].set_xlabel("chunk of the text")


def _depth(scored: Sequence[Scored], names: ShortNames, first: int) -> Draw:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for i, (row, numbers) in enumerate(scored):
            spans = numbers.kl_by_depth
            places = [first + (span.start + span.end - 1) / 2 for span in spans]
            _line(axes, i, places, [span.kl_mean for span in spans], name_of(row.setting, names))
        _finished(axes, "position in the chunk (tokens)", "KL mean (nats)", "Drift by depth")

    return draw


def _confidence(scored: Sequence[Scored], names: ShortNames, *, flips: bool) -> Draw:
    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for i, (row, numbers) in enumerate(scored):
            places = [(each.low + each.high) / 2 for each in numbers.by_confidence]
            values = [
                (None if each.flip_rate is None else 100 * each.flip_rate)
                if flips
                else each.kl_mean
                for each in numbers.by_confidence
            ]
            _line(axes, i, places, values, name_of(row.setting, names), logarithmic=not flips)
        axes.set_xlim(0, 1)
        what = "flips (%)" if flips else "KL mean (nats)"
        title = "Flips by confidence" if flips else "Drift by confidence"
        _finished(axes, "top probability of the reference", what, title, logarithmic=not flips)

    return draw


def _line(
    axes: Axes,
    number: int,
    places: Sequence[float],
    values: Sequence[float | None],
    name: str,
    *,
    logarithmic: bool = True,
) -> None:
    """A line of a chart; what a scale cannot hold leaves a gap."""
    held = [
        math.nan if v is None or not math.isfinite(v) or (logarithmic and v <= 0) else v
        for v in values
    ]
    axes.plot(
        places,
        held,
        linestyle=_LINES[number % len(_LINES)],
        marker=_MARKERS[number % len(_MARKERS)],
        color=_COLOURS[number % len(_COLOURS)],
        label=name,
    )


def _finished(axes: Axes, x: str, y: str, title: str, *, logarithmic: bool = True) -> None:
    if logarithmic:
        _decades(axes, [float(v) for line in axes.get_lines() for v in np.ravel(line.get_ydata())])
    axes.set(xlabel=x, ylabel=y, title=title)
    # Beside the lines, which it would cover.
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def _decades(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic scale upwards for some values, with ticks as on the page."""
    if not any(0 < value < math.inf for value in values):
        # Without a value such a scale warns.
        return
    axes.set_yscale("log")
    scale = logarithmic_scale(values, 0.0, 1.0)
    axes.set_yticks(scale.ticks, [digits(tick) for tick in scale.ticks])
    axes.minorticks_off()
    low, high = axes.get_ylim()
    axes.set_ylim(min(low, scale.low), max(high, scale.high))
