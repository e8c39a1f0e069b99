"""One setting's part of the Markdown report. Pure standard library."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from scorer.inline import (
    ABSENT,
    bytes_of,
    code,
    count,
    digits,
    interval,
    number,
    percent,
    prose,
    table,
    text,
)

Row = Mapping[str, Any]

_METRIC_WORDS = {"kl_mean": "KL mean", "kl_p99": "KL p99", "flip_rate": "flip rate"}


def bits_text(row: Row) -> str:
    """``4-bit`` or ``k8v4-bit``."""
    if row["kv_bits"] is not None:
        return f"{row['kv_bits']}-bit"
    params = row["kv_method_params"]
    return f"k{params['k_bits']}v{params['v_bits']}-bit"


def setting_title(row: Row, *, with_model: bool = False) -> str:
    """Title of a setting: notation or model, width, group, method, coverage."""
    name = row["model_id"] if with_model else row["setting"]
    via = "" if row["kv_method"] == "stock" else f" via {text(row['kv_method'])}"
    path = "" if row["path"] == "deployed" else f", {text(row['path'])} path"
    partial = (
        f" (partial: {row['kv_layers_quantized']}/{row['kv_layers_total']} layers)"
        if row["kv_partial"]
        else ""
    )
    joint = " @ " if with_model else ": "
    return f"{code(name)}{joint}{bits_text(row)} (group {row['kv_group_size']}){via}{path}{partial}"


def setting_body(row: Row, run: Row) -> list[str]:
    """Everything below the title of a setting."""
    mode = f"**mode:** {row['quantize_mode']} (quantize_start={row['quantize_start']})"
    if row["status"] != "scored":
        return [f"**Verdict:** none, {row['status']} · {mode}", "", *_failure(row)]
    partial = " (partial coverage)" if row["kv_partial"] else ""
    return [
        f"**Verdict:** {row['verdict_shown']}{partial} · {mode}",
        "",
        *_open_bounds(row),
        *_metrics(row),
        *_measured_on(row),
        *_depth(row),
        *_control(row),
        *_confidence(row),
        *_quantiles(row),
        *_cost(row),
    ]


def _failure(row: Row) -> list[str]:
    failure = row["failure"]
    if failure is None:
        return ["No chunk is scored that all settings of the run have.", ""]
    hint = f" ({prose(failure['hint'])})" if failure.get("hint") else ""
    return [f"{code(failure['error'])}: {prose(failure['message'])}{hint}", ""]


def _open_bounds(row: Row) -> list[str]:
    lines = []
    for bound in row["verdict_open"]:
        flips = bound["metric"] == "flip_rate"
        scale, unit = (100.0, "%") if flips else (1.0, "nats")
        more = bound["more_chunks"]
        settle = (
            f"about {count(more)} more chunks would settle it"
            if more is not None
            else "no number of chunks settles a value on the bound"
        )
        lines.append(
            f"- open: {_METRIC_WORDS[bound['metric']]} {digits(scale * bound['value'])} {unit}, "
            f"95 % interval {interval(bound['interval'], scale=scale)} {unit}, crosses the bound "
            f"of {bound['tier']} ({digits(scale * bound['threshold'])} {unit}); {settle}"
        )
    return [*lines, ""] if lines else []


def _metrics(row: Row) -> list[str]:
    kl, ends = row["kl"], row["intervals"]
    ln_ratio = digits(row["ln_perplexity_ratio"], sign=True)
    ratio = f"{digits(row['perplexity_ratio'], significant=6)}, ln {ln_ratio} nats"
    rows = [
        ("KL mean", f"{digits(kl['mean'])} nats", interval(ends["kl_mean"])),
        ("KL median", f"{digits(kl['median'])} nats", ABSENT),
        ("KL p99", f"{digits(kl['p99'])} nats", interval(ends["kl_p99"])),
        ("KL max", f"{digits(kl['max'])} nats", ABSENT),
        (
            "flip rate",
            f"{digits(row['flip_rate'])} ({percent(row['flip_rate'])})",
            interval(ends["flip_rate"]),
        ),
        ("same top token", percent(row["same_top_token"]), ABSENT),
        (
            "perplexity Δ",
            f"{digits(row['perplexity_delta'], sign=True)} "
            f"({digits(row['perplexity_ref'], significant=6)} → "
            f"{digits(row['perplexity_quant'], significant=6)})",
            interval(ends["perplexity_delta"], sign=True),
        ),
        ("perplexity ratio", ratio, interval(ends["perplexity_ratio"], significant=6)),
        ("correlation of NLLs", digits(row["nll_correlation"], significant=6), ABSENT),
        ("Δp mean", f"{digits(row['delta_p']['mean'], sign=True)} %", ABSENT),
        ("Δp RMS", f"{digits(row['delta_p']['rms'])} %", ABSENT),
    ]
    if row["noise_floor"] is not None:
        rows.append(("noise floor of KL mean", f"{digits(row['noise_floor'])} nats", ABSENT))
    notes = [part for part in (ends["label"], ends["note"]) if part]
    unit = f"Intervals over {ends['n_units']} {ends['unit']}{'' if ends['n_units'] == 1 else 's'}"
    said = f"{unit}: {', '.join(notes)}." if notes else f"{unit}."
    return [*table(("metric", "value", "95 % interval"), rows), "", said, ""]


def _measured_on(row: Row) -> list[str]:
    corpus = row["corpus"]
    words = (
        f"Measured on **{text(corpus['name'])}/{text(corpus['split'])}**: "
        f"{count(row['n_positions'])} positions of {count(row['n_chunks'])} chunks of "
        f"{count(corpus['chunk_length'])} tokens (tokenizer {code(corpus['tokenizer_id'])}). "
        "Another text or length gives other numbers."
    )
    versions = (
        f"_mlx {text(row['mlx_version'])}, mlx-lm {text(row['mlx_lm_version'])}, model rev "
        f"{code(row['model_revision'] or 'none')}, peak "
        f"{bytes_of(row['peak_memory_bytes'] or None)}, on {text(row['device'])}, "
        f"{digits(row['seconds'])} s_"
    )
    same = [f"Same arithmetic here as {code(row['same_as'])}.", ""] if row["same_as"] else []
    computed = [f"Computed by: {text(row['arithmetic'])}.", ""] if row["arithmetic"] else []
    deployment = []
    if row["quantize_start"]:
        deployment = [
            f"> **Deployment mode:** the first {row['quantize_start']} positions of a chunk run "
            "at full precision and are not scored; then their stored keys and values are "
            "converted too. Numbers of stress mode are about other positions.",
            "",
        ]
    return [words, "", *deployment, versions, "", *computed, *same]


def _depth(row: Row) -> list[str]:
    rows = [
        (
            f"{span['start']}–{span['end'] - 1}",
            digits(span["kl_mean"]),
            digits(span["kl_p99"]),
            count(span["n_positions"]),
        )
        for span in row["kl_by_depth"]
    ]
    head = ("positions", "KL mean (nats)", "KL p99 (nats)", "pooled")
    return ["**Drift by position depth**", "", *table(head, rows), ""]


def _control(row: Row) -> list[str]:
    control = row["control_kl"]
    if control is None:
        note = row["control_note"]
        return [] if note is None else [f"**Quantizer-only control:** none, {text(note)}.", ""]
    rows = [
        ("deployed", row["kl"], row["flip_rate"]),
        ("quantizer only", control, row["control_flip_rate"]),
    ]
    body = [(name, digits(kl["mean"]), digits(kl["p99"]), percent(f)) for name, kl, f in rows]
    head = ("lane", "KL mean (nats)", "KL p99 (nats)", "flips")
    return ["**Quantizer-only control**", "", *table(head, body), ""]


def _confidence(row: Row) -> list[str]:
    rows = [
        (
            f"{digits(b['low'])} to {digits(b['high'])}",
            digits(b["kl_mean"]),
            percent(b["flip_rate"]),
            count(b["n_positions"]),
        )
        for b in row["by_confidence"]
    ]
    head = ("reference's top probability", "KL mean (nats)", "flips", "positions")
    return ["**By confidence of the reference**", "", *table(head, rows), ""]


def _quantiles(row: Row) -> list[str]:
    kl, dp = row["kl_quantiles"], row["delta_p"]
    names = [name for name in dp if name not in ("mean", "rms")]
    rows = [
        (
            name,
            digits(kl[name]) if name in kl else ABSENT,
            digits(dp[name], sign=True),
        )
        for name in names
    ]
    return ["**Quantiles**", "", *table(("quantile", "KL (nats)", "Δp (%)"), rows), ""]


def _cost(row: Row) -> list[str]:
    per_token = row["kv_bytes_per_token"]
    if per_token is None:
        return []
    share, full = percent(row["kv_bytes_share"]), count(row["kv_bytes_per_token_16bit"])
    words = (
        f"**Cost:** {count(per_token)} bytes of KV cache per token, {share} of the {full} at 16 bit"
    )
    if row["kv_context"] is not None:
        words += (
            f"; at {count(row['kv_context'])} tokens {bytes_of(row['kv_bytes_at_context'])} "
            f"instead of {bytes_of(row['kv_bytes_at_context_16bit'])}"
        )
    measured = number(row["measured_kv_bytes_per_token"])
    words += (
        "; no codes stored on this path"
        if measured is None or math.isnan(measured)
        else f"; measured {count(measured)} bytes per token"
    )
    layers = f"{row['kv_layers_quantized']} of {row['kv_layers_total']} layers quantized"
    return [f"{words}. {layers}.", ""]
