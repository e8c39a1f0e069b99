"""The report for people: Markdown, a function of the report alone.

Pure standard library. One setting's report has the heads of mlx-quant-fidelity's, because
people lay them side by side.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scorer.report.formats.inline import (
    ABSENT,
    bytes_of,
    code,
    count,
    digits,
    percent,
    plural,
    prose,
    shell_block,
    table,
    text,
    with_margin,
)
from scorer.report.formats.key_words import keys_sentence
from scorer.report.formats.markdown_deployment import choice_lines, memory_lines, total_cell
from scorer.report.formats.markdown_details import details
from scorer.report.formats.markdown_groups import has_letters, told_apart_lines
from scorer.report.formats.markdown_setting import (
    interval_sentence,
    measured_on,
    report_title,
    setting_body,
    setting_title,
)
from scorer.report.formats.markdown_weights import (
    grid_lines,
    interaction_lines,
    ladder_lines,
    reference_lines,
)
from scorer.report.formats.short_names import ShortNames, short_names
from scorer.report.formats.stopping_words import (
    how_lines,
    interval_name,
    stopping_lines,
    verdict_words,
)
from scorer.report.setting_row import SettingNumbers, SettingRow
from scorer.report.tree import Report
from scorer.spec.amounts import tokens_word
from scorer.spec.thresholds import KV, Thresholds

_NO_INTERVAL = "No interval of KL over"
_MANY_FILES = 4


def to_markdown(report: Report) -> str:
    """The report as Markdown, deterministic byte for byte, newline at the end."""
    rows = report.settings
    names = short_names(report)
    lines = [f"# {report_title(report)}", ""]
    if len(rows) == 1:
        lines += [*warning_lines(rows[0].warnings), *_weights_above(report)]
        lines += [*stopping_lines(report, names), *setting_body(rows[0], report, names)]
        lines += [*recommendation_lines(report, names), *memory_lines(report, names)]
    else:
        lines += _several(report, names)
    lines += how_made_lines(report)
    return "\n".join(lines) + "\n"


def _several(report: Report, names: ShortNames) -> list[str]:
    rows, shared = report.settings, report.run.warnings
    scored = _scored(report)
    lines = [*warning_lines(shared), *stopping_lines(report, names)]
    if report.grid is None:
        lines += [*comparison(report, names), *recommendation_lines(report, names)]
    else:
        lines += [*_weights_above(report), *recommendation_lines(report, names)]
        lines += [*grid_lines(report, names), "## Weights", "", *ladder_lines(report, names)]
        lines += ["## All settings", "", *comparison(report, names)]
    lines += [*_frontiers(report, names), *told_apart_lines(report, names)]
    lines += [*interaction_lines(report, names), *memory_lines(report, names)]
    for row in rows:
        lines += [f"## {setting_title(row, names)}", ""]
        lines += warning_lines(row.warnings[len(shared) :])
        lines += setting_body(row, report, names)
    if len(scored) > 1:
        lines += ["## Side by side", "", *_own_chunks(scored, names)]
    return lines + (details(scored, report.run.scored_from, names) if scored else [])


def _weights_above(report: Report) -> list[str]:
    """What is said of the reference on top where weights are compared."""
    return [] if report.grid is None else reference_lines(report)


def _scored(report: Report) -> list[tuple[SettingRow, SettingNumbers]]:
    """The settings that have numbers, with them."""
    return [(row, row.numbers) for row in report.settings if row.numbers is not None]


def _own_chunks(
    scored: Sequence[tuple[SettingRow, SettingNumbers]], names: ShortNames
) -> list[str]:
    """How many chunks each column rests on, where they differ."""
    if len({row.n_chunks for row, _ in scored}) == 1:
        return []
    each = ", ".join(f"{names.code(row.setting)} {count(row.n_chunks)}" for row, _ in scored)
    return [f"Every column rests on the setting's own chunks: {each}.", ""]


def warning_lines(messages: Sequence[str]) -> list[str]:
    """Warnings as quotes, a blank line after each."""
    return [line for message in messages for line in (f"> **Warning:** {prose(message)}", "")]


def comparison(report: Report, names: ShortNames) -> list[str]:
    """Lines with one row a setting, the bounds of the verdicts, and what was measured on."""
    body = [
        _unscored(row, report, names)
        if row.numbers is None
        else _compared(row, row.numbers, report, names)
        for row in report.settings
    ]
    place = report.deployment
    cost = "KV bytes/token"
    if place is not None:
        cost = f"total at {tokens_word(place.context)} (MB)"
    grouped = has_letters(report)
    head = (
        "setting",
        cost,
        "KL mean (nats)",
        "p99 (nats)",
        "flips (%)",
        "ppl Δ",
        "verdict",
        *(["group"] if grouped else []),
        "frontier",
    )
    lines = [*table(head, body, left=(0, 6, 7, 8)), ""]
    scored = _scored(report)
    if not scored:
        return lines
    alike: dict[tuple[int, int], list[tuple[SettingRow, SettingNumbers]]] = {}
    for row, numbers in scored:
        alike.setdefault((row.n_chunks, numbers.n_positions), []).append((row, numbers))
    # Settings of other positions can rest on as many chunks, and then on the same intervals.
    over: dict[str, list[str]] = {}
    for same in alike.values():
        ends = same[0][1].intervals
        margin = f"± or (low-high): {interval_name(ends)} over" if ends.kl_mean else _NO_INTERVAL
        spans = [names.code(row.setting) for row, _ in same]
        over.setdefault(interval_sentence(ends, margin), []).extend(spans)
    sentences = [
        sentence if len(over) == 1 else f"{', '.join(spans)}: {sentence}"
        for sentence, spans in over.items()
    ]
    lines += [f"{' '.join(sentences)} {bounds_used(report)}", ""]
    for same in alike.values():
        spans = [names.code(row.setting) for row, _ in same]
        which = f"{', '.join(spans)}: " if len(alike) > 1 else ""
        lines += [which + measured_on(*same[0], report.run), ""]
    return [*lines, *_dropped(report, names)]


def _dropped(report: Report, names: ShortNames) -> list[str]:
    """Which settings were scored on fewer chunks than planned because nothing hangs on them."""
    found = [
        f"- {names.code(row.setting)}, scored on {plural(row.n_chunks, 'chunk')}: "
        f"{names.prose(row.dropped)}"
        for row in report.settings
        if row.dropped and row.n_chunks < report.run.chunks_planned
    ]
    if not found:
        return []
    return ["Scored no further, because they cannot be the answer any more:", "", *found, ""]


def bounds_used(report: Report) -> str:
    """The bounds of the verdicts, and whose they are where a report compares weights."""
    if report.grid is None:
        return bounds_words(report.verdict_bounds)
    words = f"{bounds_words(report.verdict_bounds)} These are the bounds for weights."
    if any(row.kv_verdict is not None for row in report.settings):
        words += f" After `KV:` the verdict by those of the KV cache: {_tiers(KV)}."
    return words


def bounds_words(bounds: Thresholds) -> str:
    """Bounds of verdicts in a sentence."""
    return (
        f"Verdict {_tiers(bounds)}; `?`: open, an interval crosses a bound that decides, or a "
        "metric has none."
    )


def _tiers(bounds: Thresholds) -> str:
    tiers = []
    for tier, most in (("good", bounds.good), ("marginal", bounds.marginal)):
        tiers.append(
            f"{tier}: KL mean ≤ {digits(most.kl_mean)}, p99 ≤ {digits(most.kl_p99)} nats, "
            f"flips ≤ {percent(most.flip_rate)}"
        )
    return "; ".join(tiers)


def _compared(
    row: SettingRow, numbers: SettingNumbers, report: Report, names: ShortNames
) -> list[str]:
    ends = numbers.intervals
    beside = f", KV: {row.kv_verdict_shown}" if row.kv_verdict_shown else ""
    return [
        names.code(row.setting),
        _costs(row, report),
        with_margin(numbers.kl.mean, ends.kl_mean),
        digits(numbers.kl.p99),
        with_margin(numbers.flip_rate, ends.flip_rate, scale=100),
        digits(numbers.perplexity_delta, sign=True),
        f"**{verdict_words(row, numbers, report)}**{beside}",
        *([row.letters or ABSENT] if has_letters(report) else []),
        _frontier_mark(row, report, names),
    ]


def _unscored(row: SettingRow, report: Report, names: ShortNames) -> list[str]:
    cost = _costs(row, report)
    last = [ABSENT] * (2 if has_letters(report) else 1)
    return [names.code(row.setting), cost, *[ABSENT] * 4, f"**{row.status}**", *last]


def _costs(row: SettingRow, report: Report) -> str:
    if report.deployment is not None:
        return total_cell(row, report.deployment)
    share = percent(row.kv_bytes_share, significant=2)
    return f"{count(row.kv_bytes_per_token)} ({share})"


def _frontier_mark(row: SettingRow, report: Report, names: ShortNames) -> str:
    same = f", same arithmetic as {names.code(row.same_as)}" if row.same_as else ""
    if row.on_frontier:
        # With several frontiers a tick says of which.
        several = len(report.frontiers) > 1
        of = f" {conditions(row.quantize_start, row.path)}" if several else ""
        return f"✓{of}{same}"
    beaten = ABSENT if row.beaten_by is None else f"beaten by {names.code(row.beaten_by)}"
    return f"{beaten}{same}"


def conditions(start: int, path: str) -> str:
    """Which positions are scored on which path: ``stress``, ``deployment from 512``."""
    words = f"deployment from {start}" if start else "stress"
    return words if path == "deployed" else f"{words}, {text(path)} path"


def recommendation_lines(report: Report, names: ShortNames) -> list[str]:
    """The recommendation, or what to run where, and its command."""
    if report.deployment is not None:
        return choice_lines(report.deployment, names)
    found = report.recommendation
    if found is None:
        return ["**Recommendation:** none, no setting was scored", ""]
    sentences = ". ".join(names.prose(sentence) for sentence in found.sentences)
    lines = [f"**Recommendation:** {sentences}.", ""]
    command = found.command or (found.mlx_lm and found.mlx_lm.command)
    if command is not None:
        lines += [*shell_block(command), ""]
    return lines


def _frontiers(report: Report, names: ShortNames) -> list[str]:
    lines = []
    place = report.deployment
    for frontier in report.frontiers:
        listed = ", ".join(map(names.code, frontier.settings))
        tied = "; ".join(f"{names.code(a)} and {names.code(b)} are tied" for a, b in frontier.tied)
        over = f", over {plural(frontier.n_chunks, 'common chunk')}" if frontier.n_chunks else ""
        if place is not None and not all(map(place.cell, frontier.settings)):
            over += ", without a prefill peak"
        lines.append(
            f"- {conditions(frontier.quantize_start, frontier.path)}{over}: {listed}"
            f"{f' ({tied})' if tied else ''}"
        )
    if not lines:
        return []
    alone = len(lines) == 1
    cost = "KV bytes per token"
    if place is not None:
        cost = f"the least total bytes at {tokens_word(place.context)} tokens of context"
    said = f"**Frontier** of KL mean against {cost}, cheapest first"
    said += ":" if alone else "; settings of different positions or paths are never ranked:"
    return [said, "", *lines, ""]


def how_made_lines(report: Report) -> list[str]:
    """What it was measured on and with, and the command that asks for the same again."""
    run, reference = report.run, report.reference
    corpus = run.corpus
    bits = reference.weight_bits
    versions = ", ".join(f"{text(k)} {text(v)}" for k, v in run.versions.items())
    total = run.chunks_planned if corpus.total_chunks is None else corpus.total_chunks
    documents = run.documents_covered
    covered = f", {plural(documents, 'document')} covered" if documents else ""
    lines = [
        "## How it was measured",
        "",
        f"- Reference: {code(reference.model_id)} ({code(reference.architecture)}), weights "
        f"{'of unknown width' if bits is None else f'{digits(bits)} bit'}, KV cache at full "
        f"precision, computed in {text(reference.compute_dtype)}",
        f"- Text: {text(corpus.name)}, SHA-256 {code(corpus.sha256)}, protocol "
        f"{code(run.job.protocol)}, {count(len(run.chunks))} of "
        f"{plural(total, 'chunk')} ({text(run.job.chunks)}){covered}",
        *_weights(reference.model_files),
        f"- Arithmetic: {text(run.arithmetic.description)}, "
        f"{plural(run.batch, 'chunk')} per forward pass",
        f"- Device: {text(run.device.name)} ({text(run.device.kind)}), "
        f"{bytes_of(run.device.memory)}",
        f"- Versions: {versions}",
        *([] if len(report.settings) > 1 else [f"- {bounds_used(report)}"]),
        *([f"- {keys}"] if (keys := keys_sentence(report, short_names(report))) else []),
        how_lines(report),
        "",
        "The same again:",
        "",
        *shell_block(run.command),
    ]
    return lines


def _weights(files: Mapping[str, str | int]) -> list[str]:
    """The files of weights; the hashes of all files are in the JSON report."""
    named = {name: known for name, known in files.items() if name.endswith(".safetensors")}
    if len(named) > _MANY_FILES:
        return [f"- Weights: {len(named)} files, hashes in the JSON report"]
    return [f"- Weights: {code(name)}, {_file(known)}" for name, known in named.items()]


def _file(known: str | int) -> str:
    return bytes_of(known) if isinstance(known, int) else f"SHA-256 {code(known)}"
