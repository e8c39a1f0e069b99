"""Several runs side by side, for people: Markdown, a function of the joined report alone."""

from __future__ import annotations

import math
from collections.abc import Iterator

from scorer.report.formats.inline import (
    ABSENT,
    code,
    columns,
    count,
    digits,
    percent,
    plural,
    prose,
    table,
    text,
    with_margin,
)
from scorer.report.formats.markdown import bounds_words, warning_lines
from scorer.report.joined import JoinedReport, JoinedRow, JoinedRun, JoinedSetting

_BAR = 32
_MOST_OF_A_HASH = 12
SIDE_BY_SIDE = (
    "Texts and lengths are set side by side only: nothing is ranked across them, and the reference "
    "is another on each."
)


def to_joined_markdown(report: JoinedReport) -> str:
    """The joined report as Markdown, deterministic byte for byte, newline at the end."""
    lines = [f"# {title(report)}", ""]
    lines += warning_lines(list(unscored_words(report)))
    lines += [*_verdicts(report), *_rows(report), *_by_length(report), *_runs(report)]
    return "\n".join(lines).rstrip("\n") + "\n"


def title(report: JoinedReport) -> str:
    """The head of the report: model, texts, lengths."""
    lengths = sorted({run.chunk_length for run in report.runs})
    words = ", ".join(map(str, lengths))
    return (
        f"{text(report.model_id)} on {plural(len(report.texts), 'text')}, chunks of {words} tokens"
    )


def unscored_words(report: JoinedReport) -> Iterator[str]:
    """What was asked for and is not there, a sentence each."""
    for each in report.not_scored:
        hint = f" ({each.hint})" if each.hint else ""
        yield f"not scored: `{each.text}` at {each.chunk_length} tokens: {each.message}{hint}"
    for run in report.runs:
        if not run.complete:
            yield f"run `{run.run}` is unfinished: `qfid resume {run.run}` scores the rest"


def _verdicts(report: JoinedReport) -> list[str]:
    head = ("setting", *map(text, report.texts), "overall", "macro KL (nats)")
    rows = [
        (
            code(each.name),
            *(found.verdict_shown or ABSENT for found in each.texts),
            overall(each),
            f"{digits(each.macro_kl_mean)}{_of(each)}",
        )
        for each in report.settings
    ]
    return [
        "## Verdict by text",
        "",
        *table(head, rows, left=(*range(len(report.texts) + 2),)),
        "",
        VERDICT_RULE,
        bounds_words(report.verdict_bounds),
        "",
    ]


VERDICT_RULE = (
    "A text has the worst verdict of its lengths, overall is the worst of the texts; `?` where one "
    "of them is open or was not scored. Macro KL is the plain mean of the rows below, every text "
    "and length counting the same: it is shown and judges nothing."
)


def overall(each: JoinedSetting) -> str:
    """The verdict of a setting over all texts."""
    return each.verdict_shown or ABSENT


def _of(each: JoinedSetting) -> str:
    if not each.n_missing:
        return ""
    return f" of {each.n_rows}/{each.n_rows + each.n_missing}"


def _rows(report: JoinedReport) -> list[str]:
    head = ("text", "chunk", "setting", "KL mean (nats)", "p99 (nats)", "flips (%)", "ppl ref",
            "ppl Δ", "verdict", "chunks")  # fmt: skip
    rows = [
        (
            text(row.text),
            str(row.chunk_length),
            code(row.name),
            *_numbers(row),
            str(row.n_chunks),
        )
        for row in report.rows
    ]
    return [
        "## Every text, length and setting",
        "",
        *table(head, rows, left=(0, 2, 8)),
        "",
        f"± or (low–high): {interval_words(report)} {SIDE_BY_SIDE}",
        "",
    ]


def interval_words(report: JoinedReport) -> str:
    """What the intervals of the rows are, in sentences."""
    if not any(row.simultaneous for row in report.rows):
        return "95 % interval."
    stopped = list(dict.fromkeys(row.run for row in report.rows if row.simultaneous))
    of = "" if len(stopped) == len(report.runs) else f" of {', '.join(map(code, stopped))}"
    own = f"those{of} are" if of else "they are"
    return (
        f"95 % interval; {own} of a run that stops once it is settled, wider, and hold together "
        "over its settings, criteria and looks."
    )


def _numbers(row: JoinedRow) -> tuple[str, ...]:
    if row.verdict_shown is None:
        return (ABSENT, ABSENT, ABSENT, ABSENT, ABSENT, row.status)
    return (
        with_margin(row.kl_mean, row.kl_mean_interval),
        digits(row.kl_p99),
        percent(row.flip_rate, significant=3).removesuffix(" %"),
        digits(row.perplexity_ref),
        digits(row.perplexity_delta, sign=True),
        row.verdict_shown,
    )


def has_lengths(report: JoinedReport, name: str) -> bool:
    """Whether a text was scored at several lengths."""
    return len({row.chunk_length for row in scored(report, name)}) > 1


def scored(report: JoinedReport, name: str) -> list[JoinedRow]:
    """The scored rows of a text."""
    return [row for row in report.rows if row.text == name and row.kl_mean is not None]


def _by_length(report: JoinedReport) -> list[str]:
    lines: list[str] = []
    for name in report.texts:
        if has_lengths(report, name):
            lines += [f"### {text(name)}", "", "```text", *length_bars(report, name), "```", ""]
    if not lines:
        return []
    return [
        "## Drift by length",
        "",
        "KL mean in nats; bars on a logarithmic scale of the text's own.",
        "",
        *lines,
    ]


def length_bars(report: JoinedReport, name: str) -> list[str]:
    """Drift by length on one text: a bar for each setting and length.

    Args:
        report: The report.
        name: The text.
    """
    rows = scored(report, name)
    drawn = [row.kl_mean for row in rows if row.kl_mean is not None and 0 < row.kl_mean < math.inf]
    low, high = _decades(drawn)
    names = {row.setting: code(row.name).strip("`") for row in rows}
    wide = max(map(columns, names.values()), default=0)
    tokens = max((len(str(row.chunk_length)) for row in rows), default=0)
    found = []
    for setting, shown in names.items():
        own = sorted((r for r in rows if r.setting == setting), key=lambda r: r.chunk_length)
        for i, row in enumerate(own):
            head = shown + " " * (wide - columns(shown)) if i == 0 else " " * wide
            value = digits(row.kl_mean, significant=3)
            bar = "█" * _bar(row.kl_mean, low, high)
            found.append(f"{head}  {row.chunk_length:>{tokens}}  {value:>9}  {bar}".rstrip())
    return found


def _decades(values: list[float]) -> tuple[float, float]:
    if not values:
        return 0.0, 1.0
    low = math.floor(math.log10(min(values)))
    return low, max(low + 1, math.ceil(math.log10(max(values))))


def _bar(value: float | None, low: float, high: float) -> int:
    if value is None or not 0 < value:
        return 0
    share = 1.0 if value == math.inf else (math.log10(value) - low) / (high - low)
    return max(1, round(_BAR * min(1.0, share)))


def _runs(report: JoinedReport) -> list[str]:
    head = ("run", "text", "chunk", "chunks", "of", "SHA-256 of the text", "revision")
    rows = [
        (
            code(run.run),
            text(run.text),
            str(run.chunk_length),
            str(run.chunks_planned),
            ABSENT if run.total_chunks is None else str(run.total_chunks),
            code(run.sha256[:_MOST_OF_A_HASH]) if run.sha256 else ABSENT,
            code(run.dataset_revision[:_MOST_OF_A_HASH]) if run.dataset_revision else ABSENT,
        )
        for run in report.runs
    ]
    lines = [
        "## The runs",
        "",
        *table(head, rows, left=(0, 1, 5, 6)),
        "",
        "Each run is saved and has a report of its own, with every number.",
        "",
    ]
    lines += [f"- {each}" for each in differences(report)]
    warned = dict.fromkeys(
        f"{text(run.text)}, {count(run.chunk_length)}: {prose(message)}"
        for run in report.runs
        for message in run.warnings
    )
    return lines + [f"- Warning: {each}" for each in warned]


def differences(report: JoinedReport) -> Iterator[str]:
    """In what runs were computed otherwise than the first one, a sentence each."""
    for run in report.runs:
        if run.differs:
            yield f"{code(run.run)} was computed otherwise than the first: {_listed(run)}."


def _listed(run: JoinedRun) -> str:
    return prose("; ".join(run.differs))
