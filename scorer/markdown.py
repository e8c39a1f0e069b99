"""The report for people: Markdown, a function of the report's JSON values alone.

Pure standard library. One setting's report has the heads of mlx-quant-fidelity's, because
people lay them side by side.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scorer.inline import (
    ABSENT,
    bytes_of,
    code,
    count,
    digits,
    interval,
    percent,
    prose,
    table,
    text,
)
from scorer.markdown_setting import setting_body, setting_title

Report = Mapping[str, Any]

_MANY_PAIRS = 15


def to_markdown(report: Report) -> str:
    """The report as Markdown, deterministic byte for byte, newline at the end.

    Args:
        report: What :func:`scorer.report.build_report` gave, also after a JSON round trip.
    """
    rows = report["settings"]
    lines: list[str] = []
    if len(rows) == 1:
        row = rows[0]
        lines += [f"# KV-fidelity: {setting_title(row, with_model=True)}", ""]
        lines += _warnings(row["warnings"])
        lines += setting_body(row, report["run"])
    else:
        model = code(report["reference"]["model_id"])
        lines += [f"# KV-fidelity: {model}, {len(rows)} settings", ""]
        lines += _warnings(report["run"]["warnings"])
        lines += _comparison_table(report)
    lines += _recommendation(report)
    if len(rows) > 1:
        lines += _told_apart(report)
        for row in rows:
            own = row["warnings"][len(report["run"]["warnings"]) :]
            lines += [f"## {setting_title(row)}", "", *_warnings(own)]
            lines += setting_body(row, report["run"])
    lines += _how_made(report)
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(lines) + "\n"


def _warnings(messages: list[str]) -> list[str]:
    return [line for message in messages for line in (f"> **Warning:** {prose(message)}", "")]


def _comparison_table(report: Report) -> list[str]:
    rows = []
    for row in report["settings"]:
        if row["status"] != "scored":
            rows.append([code(row["setting"]), *_costs(row), *[ABSENT] * 4, _status(row), ""])
            continue
        rows.append(
            [
                code(row["setting"]),
                *_costs(row),
                _with_margin(row["kl"]["mean"], row["intervals"]["kl_mean"]),
                digits(row["kl"]["p99"]),
                percent(row["flip_rate"]),
                digits(row["perplexity_delta"], sign=True),
                f"**{row['verdict_shown']}**",
                _frontier_mark(row),
            ]
        )
    head = (
        "setting",
        "KV bytes per token",
        "of 16 bit",
        "KL mean (nats)",
        "KL p99 (nats)",
        "flips",
        "perplexity Δ",
        "verdict",
        "frontier",
    )
    return [*table(head, rows), ""]


def _costs(row: Report) -> tuple[str, str]:
    return count(row["kv_bytes_per_token"]), percent(row["kv_bytes_share"])


def _status(row: Report) -> str:
    return f"**{row['status']}**"


def _with_margin(value: Any, ends: Any) -> str:
    if ends is None:
        return digits(value)
    half = (float(ends["high"]) - float(ends["low"])) / 2
    return f"{digits(value)} ± {half:.2g}"


def _frontier_mark(row: Report) -> str:
    if row["on_frontier"]:
        same = f", same arithmetic here as {code(row['same_as'])}" if row["same_as"] else ""
        return f"✓{same}"
    return f"beaten by {code(row['beaten_by'])}"


def _recommendation(report: Report) -> list[str]:
    found = report["recommendation"]
    if found is None:
        return ["**Recommendation:** none, no setting was scored", ""]
    sentences = ". ".join(prose(sentence) for sentence in found["sentences"])
    lines = [f"**Recommendation:** {sentences}.", ""]
    command = found["command"] or (found["mlx_lm"] or {}).get("command")
    if command is not None:
        lines += ["```sh", command, "```", ""]
    return lines


def _told_apart(report: Report) -> list[str]:
    pairs = report["comparisons"]
    if not pairs:
        return []
    listed = pairs
    if len(pairs) > _MANY_PAIRS:
        listed = [pair for pair in pairs if pair["told_apart"] is not True]
    rows = []
    for pair in listed:
        apart = pair["told_apart"]
        words = "not distinguishable on this text"
        if apart is None:
            words = "no interval"
        elif apart:
            lower = pair["a"] if pair["kl_mean_difference"] < 0 else pair["b"]
            words = f"{code(lower)} drifts less"
        rows.append(
            [
                f"{code(pair['a'])} − {code(pair['b'])}",
                digits(pair["kl_mean_difference"], sign=True),
                interval(pair["interval"], sign=True),
                words,
            ]
        )
    head = ("pair", "KL mean difference (nats)", "95 % interval (nats)", "told apart?")
    said = "**Told apart?** Differences paired over the same chunks"
    if len(listed) < len(pairs):
        said += f"; {len(pairs) - len(listed)} of {len(pairs)} pairs are, the others:"
    lines = [said, "", *(table(head, rows) if rows else []), ""]
    tied = [pair for frontier in report["frontiers"] for pair in frontier["tied"]]
    if tied:
        names = ", ".join(f"{code(a)} and {code(b)}" for a, b in tied)
        lines += [f"Tied on the frontier: {names}.", ""]
    return lines


def _how_made(report: Report) -> list[str]:
    run, reference = report["run"], report["reference"]
    corpus = run["corpus"]
    bits = reference["weight_bits"]
    versions = ", ".join(f"{text(k)} {text(v)}" for k, v in run["versions"].items())
    lines = [
        "**How it was measured**",
        "",
        f"- Reference: {code(reference['model_id'])} ({text(reference['architecture'])}), weights "
        f"{'of unknown width' if bits is None else f'{digits(bits)} bit'}, KV cache at full "
        f"precision, computed in {text(reference['compute_dtype'])}",
        f"- Text: {text(corpus.get('name'))}, SHA-256 {code(corpus.get('sha256'))}, protocol "
        f"{code(corpus.get('protocol', run['job']['protocol']))}, {len(run['chunks'])} of "
        f"{corpus.get('total_chunks', run['chunks_planned'])} chunks "
        f"({text(run['job']['chunks'])}), {run['documents_covered']} documents covered",
        f"- Arithmetic: {text(run['arithmetic'].get('description'))}, {run['batch']} "
        f"{'chunk' if run['batch'] == 1 else 'chunks'} per forward pass",
        f"- Device: {text(run['device'].get('name'))} ({text(run['device'].get('kind'))}), "
        f"{bytes_of(run['device'].get('memory'))}",
        f"- Versions: {versions}",
        "- Intervals: 95 %, over chunks (over documents from 5 on), never over positions: the "
        "positions of a chunk are correlated; llama.cpp's ± are standard errors that take them "
        "as independent and come out smaller",
        "",
        "Again with:",
        "",
        "```sh",
        run["command"],
        "```",
    ]
    return lines
