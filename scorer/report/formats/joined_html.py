"""Several runs side by side as one page: no script, nothing from elsewhere.

See :mod:`scorer.report.formats.html` for what such a page may hold.
"""

from __future__ import annotations

import math

from scorer.report.formats.html import page_head
from scorer.report.formats.html_axes import BOTTOM, HEIGHT, LEFT, MARKERS, RIGHT, TOP, WIDTH
from scorer.report.formats.html_axes import logarithmic as log_scale
from scorer.report.formats.html_elements import Child, Element, cut, element, written
from scorer.report.formats.html_lines import Series, lines_figure
from scorer.report.formats.html_markdown import inline, sentence
from scorer.report.formats.html_parts import plain_table, section, shown_badge, status_badge
from scorer.report.formats.inline import ABSENT, digits, percent, with_margin
from scorer.report.formats.joined_markdown import (
    SIDE_BY_SIDE,
    VERDICT_RULE,
    differences,
    has_lengths,
    interval_words,
    scored,
    title,
    unscored_words,
)
from scorer.report.formats.markdown import bounds_words
from scorer.report.joined import JoinedReport, JoinedRow
from scorer.spec.thresholds import Verdict

_X = LEFT, WIDTH - RIGHT
_Y = HEIGHT - BOTTOM, TOP
_NAME = 60


def to_joined_html(report: JoinedReport) -> str:
    """The joined report as a page, deterministic byte for byte."""
    head = element("h1", *inline(title(report)))
    warned: list[Child] = [
        element("blockquote", element("p", element("strong", "Warning: "), *sentence(words)))
        for words in unscored_words(report)
    ]
    body = element(
        "body",
        element("header", head, *warned),
        element(
            "main",
            _verdicts(report),
            _rows(report),
            _charts(report),
            _runs(report),
        ),
        element("footer", element("p", f"Made by qfid {report.qfid}.", class_="note")),
    )
    return written(element("html", page_head("".join(head.itertext())), body, lang="en"))


def _badge(verdict: Verdict | None, shown: str | None) -> Child:
    return ABSENT if verdict is None or shown is None else shown_badge(verdict, shown)


def _verdicts(report: JoinedReport) -> Element:
    rows: list[list[Child]] = [
        [
            _name(each.name),
            *(_badge(found.verdict, found.verdict_shown) for found in each.texts),
            _badge(each.verdict, each.verdict_shown),
            digits(each.macro_kl_mean),
            str(each.n_rows),
        ]
        for each in report.settings
    ]
    texts = [cut(name, _NAME) for name in report.texts]
    words = range(len(texts) + 2)
    return section(
        "Verdict by text",
        plain_table(
            ["setting", *texts, "overall", "macro KL (nats)", "rows"], rows, left=tuple(words)
        ),
        element("p", *inline(VERDICT_RULE), class_="note"),
        element("p", *inline(bounds_words(report.verdict_bounds)), class_="note"),
    )


def _name(name: str) -> Element:
    shown = cut(name, _NAME)
    return element("code", shown, title=None if shown == name else cut(name, 300))


def _rows(report: JoinedReport) -> Element:
    head: list[Child] = ["text", "chunk length", "setting", "verdict", "KL mean (nats)"]
    head += ["KL p99 (nats)", "flips (%)", "ppl ref", "ppl Δ", "chunks"]
    rows = [
        [cut(row.text, _NAME), str(row.chunk_length), _name(row.name), *_cells(row)]
        for row in report.rows
    ]
    return section(
        "Every text, length and setting",
        plain_table(head, rows, left=(0, 2, 3)),
        element(
            "p", *inline(f"± or (low–high): {interval_words(report)} {SIDE_BY_SIDE}"), class_="note"
        ),
    )


def _cells(row: JoinedRow) -> list[Child]:
    if row.verdict is None:
        return [status_badge(row.status), *[ABSENT] * 5, str(row.n_chunks)]
    return [
        _badge(row.verdict, row.verdict_shown),
        with_margin(row.kl_mean, row.kl_mean_interval),
        digits(row.kl_p99),
        percent(row.flip_rate, significant=3).removesuffix(" %"),
        digits(row.perplexity_ref),
        digits(row.perplexity_delta, sign=True),
        str(row.n_chunks),
    ]


def _charts(report: JoinedReport) -> Element | None:
    """Drift by length: a chart for each text, on a scale of its own."""
    figures: list[Child] = []
    for name in report.texts:
        if not has_lengths(report, name):
            continue
        rows = scored(report, name)
        settings = list(dict.fromkeys(row.setting for row in rows))
        x = log_scale([float(row.chunk_length) for row in rows], *_X)
        y = log_scale([math.nan if r.kl_mean is None else r.kl_mean for r in rows], *_Y)
        for start in range(0, len(settings), len(MARKERS)):
            series = [
                _series([row for row in rows if row.setting == setting])
                for setting in settings[start : start + len(MARKERS)]
            ]
            shown = f"Drift by length on {cut(name, _NAME)}"
            figures.append(
                lines_figure(shown, (x, "chunk length (tokens)"), (y, "KL mean (nats)"), series)
            )
    if not figures:
        return None
    return section("Does the drift grow with length?", element("div", *figures, class_="charts"))


def _series(rows: list[JoinedRow]) -> Series:
    points = sorted(
        (float(row.chunk_length), math.nan if row.kl_mean is None else row.kl_mean) for row in rows
    )
    return Series(cut(rows[0].name, _NAME), tuple(points))


def _hash(value: str | None) -> Child:
    """The beginning of a hash; the whole of it where a pointer rests on it."""
    return element("code", value[:12], title=value) if value else ABSENT


def _runs(report: JoinedReport) -> Element:
    rows: list[list[Child]] = [
        [
            element("code", run.run),
            cut(run.text, _NAME),
            str(run.chunk_length),
            str(run.chunks_planned),
            ABSENT if run.total_chunks is None else str(run.total_chunks),
            _hash(run.sha256),
            _hash(run.dataset_revision),
        ]
        for run in report.runs
    ]
    head = ["run", "text", "chunk length", "chunks", "of", "SHA-256 of the text", "revision"]
    warned = dict.fromkeys(
        (f"{run.text}, {run.chunk_length}: ", message)
        for run in report.runs
        for message in run.warnings
    )
    return section(
        "The runs",
        plain_table(head, rows, left=(0, 1, 5, 6)),
        element("p", "Each run is saved and has a report of its own, with every number."),
        *(element("p", *inline(words), class_="note") for words in differences(report)),
        *(
            element("p", element("strong", "Warning: "), where, *sentence(message), class_="note")
            for where, message in warned
        ),
    )
