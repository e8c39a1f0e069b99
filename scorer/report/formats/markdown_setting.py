"""One setting's part of the Markdown report. Pure standard library."""

from __future__ import annotations

from scorer.report.formats.inline import (
    ABSENT,
    bytes_of,
    code,
    count,
    digits,
    interval,
    percent,
    plural,
    prose,
    table,
    text,
)
from scorer.report.formats.key_words import key_code
from scorer.report.formats.markdown_deployment import total_words
from scorer.report.formats.markdown_details import changed_layers, details
from scorer.report.formats.markdown_weights import setting_weights
from scorer.report.formats.open_verdict import LACKS, settles
from scorer.report.formats.short_names import ShortNames
from scorer.report.formats.stopping_words import interval_name, verdict_words
from scorer.report.formats.weight_words import group_text, has_cache, source_of, weights_text
from scorer.report.setting_row import Intervals, SettingNumbers, SettingRow
from scorer.report.tree import ReferencePart, Report, RunPart
from scorer.spec.job import FEWEST_REPEATS
from scorer.spec.thresholds import Metric
from scorer.stats.noise_floor import NoiseFloor, NoiseOf

_METRIC_WORDS: dict[Metric, str] = {
    "kl_mean": "KL mean",
    "kl_p99": "KL p99",
    "flip_rate": "flip rate",
}


def bits_text(row: SettingRow) -> str:
    """``4-bit`` or ``k8v4-bit``."""
    if row.kv_bits is not None:
        return f"{row.kv_bits}-bit"
    params = row.kv_method_params
    return f"k{params['k_bits']}v{params['v_bits']}-bit"


def report_title(report: Report) -> str:
    """The title of a report: what is compared, of which model."""
    rows, model = report.settings, code(report.reference.model_id)
    if report.grid is None:
        if len(rows) == 1:
            return f"KV-fidelity: {code(rows[0].model_id)} @ {_cache_title(rows[0])}"
        return f"KV-fidelity: {model}, {len(rows)} settings"
    caches = any(has_cache(row) for row in rows)
    kind = "Weight and KV-cache fidelity" if caches else "Weight-fidelity"
    if len(rows) > 1:
        return f"{kind}: {model}, {len(rows)} settings"
    keys = rows[0].weight_keys
    own = source_of(rows[0])
    quantized = keys.quant_model_id if keys else own.key if own else rows[0].setting
    return f"{kind}: {code(quantized)} @ {_weights_title(rows[0])} against {model}"


def setting_title(row: SettingRow, names: ShortNames) -> str:
    """Title of a setting: notation, width, group, method, coverage; of weights their precision."""
    title = _cache_title(row) if source_of(row) is None else _weights_title(row)
    return f"{names.code(row.setting)}: {title}"


def _weights_title(row: SettingRow) -> str:
    """``4-bit weights (group 64), 8-bit (group 64) KV cache``."""
    title = f"{weights_text(row)}{group_text(row.weights)}"
    return f"{title}, {_cache_title(row)} KV cache" if has_cache(row) else title


def _cache_title(row: SettingRow) -> str:
    via = "" if row.kv_method == "stock" else f" via {text(row.kv_method)}"
    path = "" if row.path == "deployed" else f", {text(row.path)} path"
    partial = (
        f" (partial: {row.kv_layers_quantized}/{row.kv_layers_total} layers)"
        if row.kv_partial
        else ""
    )
    return f"{bits_text(row)} (group {row.kv_group_size}){via}{path}{partial}"


def setting_body(row: SettingRow, report: Report, names: ShortNames) -> list[str]:
    """Everything below the title of a setting; of several, what is not laid side by side."""
    run, alone, numbers = report.run, len(report.settings) == 1, row.numbers
    mode = f"**mode:** {row.quantize_mode} (quantize_start={row.quantize_start})"
    if not has_cache(row):
        mode = "KV cache at full precision"
    if numbers is None:
        return [
            f"**Verdict:** none, {row.status} · {mode}",
            "",
            *_failure(row),
            *setting_weights(row, report),
        ]
    partial = " (partial coverage)" if row.kv_partial else ""
    beside = ""
    if row.kv_verdict_shown:
        beside = f" by the bounds of weights, {row.kv_verdict_shown} by those of the KV cache"
    lines = [
        f"**Verdict:** {verdict_words(row, numbers, report)}{partial}{beside} · {mode}",
        "",
        *_why(row, numbers, run),
        *_dropped(row, run, names),
        *_metrics(row, numbers),
    ]
    if alone:
        lines += [measured_on(row, numbers, run), ""]
    lines += [*_deployment(row), _versions(row, numbers), ""]
    if alone:
        lines += details([(row, numbers)], run.scored_from, names)
    return [
        *lines,
        *_control(row, numbers),
        *setting_weights(row, report),
        *(_cost(row) if has_cache(row) else []),
        *total_words(row, report.deployment),
        *(_computed(row, report.reference) if has_cache(row) else []),
    ]


def _dropped(row: SettingRow, run: RunPart, names: ShortNames) -> list[str]:
    if not row.dropped or row.n_chunks >= run.chunks_planned:
        return []
    return [f"Scored on {plural(row.n_chunks, 'chunk')}: {names.prose(row.dropped)}.", ""]


def measured_on(row: SettingRow, numbers: SettingNumbers, run: RunPart) -> str:
    """The sentence without which no number may be quoted."""
    corpus, protocol = row.corpus, run.job.protocol
    split = f"/{text(corpus.split)}" if corpus.split else ""
    scored = f"{plural(numbers.n_positions, 'position')} of "
    said = " and ".join(f"**{text(role)}**" for role in run.job.roles)
    rule = f", only what {said} said" if said else ""
    if protocol != "mqf":
        rule += f", protocol **{text(protocol)}**: positions from {run.scored_from} on"
    return (
        f"Measured on **{text(corpus.name)}{split}**: {scored}"
        f"{plural(row.n_chunks, 'chunk')} of {count(corpus.chunk_length)} tokens (tokenizer "
        f"{code(corpus.tokenizer_id)}){rule}. Another text or length gives other numbers."
    )


def interval_sentence(ends: Intervals, said: str) -> str:
    """What the intervals are taken over and what they speak for.

    Args:
        ends: The intervals of a setting.
        said: How the sentence begins where there are any.
    """
    if ends.n_units < 2:
        return f"{ends.note}."
    over = plural(ends.n_units, ends.unit)
    if ends.label:
        known = ends.n_documents
        over += f" of {plural(known, 'document')}" if known else ""
        over += f": they speak for {ends.label}"
    note = f"; {ends.note}" if ends.note else ""
    return f"{said} {over}{note}."


def _failure(row: SettingRow) -> list[str]:
    failure = row.failure
    if failure is None:
        return ["No chunk is scored yet.", ""]
    hint = f" ({prose(failure.hint)})" if failure.hint else ""
    return [f"{code(failure.error)}: {prose(failure.message)}{hint}", ""]


def _why(row: SettingRow, numbers: SettingNumbers, run: RunPart) -> list[str]:
    lines = []
    for held in numbers.verdict_held_by:
        scale, unit = _unit(held.metric)
        lines.append(
            f"- not {held.tier}: {_METRIC_WORDS[held.metric]} "
            f"{digits(scale * held.value)} {unit} is above "
            f"{digits(scale * held.threshold)} {unit}"
        )
    for lacking in numbers.verdict_without_interval:
        lines.append(f"- open: {_METRIC_WORDS[lacking.metric]}: {LACKS[lacking.why]}")
    for bound in numbers.verdict_open:
        scale, unit = _unit(bound.metric)
        lines.append(
            f"- open: {_METRIC_WORDS[bound.metric]} "
            f"{digits(scale * bound.value)} {unit}, {interval_name(numbers.intervals)} "
            f"{interval(bound.interval, scale=scale)} {unit}, "
            f"{'near' if bound.below_noise_floor else 'crosses'} the bound of "
            f"{bound.tier} ({digits(scale * bound.threshold)} {unit}); "
            f"{settles(bound, row.n_chunks, run.corpus.total_chunks)}"
        )
    return [*lines, ""] if lines else []


def _unit(metric: Metric) -> tuple[float, str]:
    return (100.0, "%") if metric == "flip_rate" else (1.0, "nats")


def _metrics(row: SettingRow, numbers: SettingNumbers) -> list[str]:
    kl, ends = numbers.kl, numbers.intervals
    ln_ratio = digits(numbers.ln_perplexity_ratio, sign=True)
    ratio = f"{digits(numbers.perplexity_ratio, significant=6)} (ln {ln_ratio} nats)"
    rows = [
        ("KL mean", f"{digits(kl.mean)} nats", interval(ends.kl_mean)),
        ("KL median", f"{digits(kl.median)} nats", ABSENT),
        ("KL p99", f"{digits(kl.p99)} nats", interval(ends.kl_p99)),
        ("KL max", f"{digits(kl.max)} nats", ABSENT),
        (
            "flip rate",
            f"{digits(numbers.flip_rate)} ({percent(numbers.flip_rate)})",
            interval(ends.flip_rate),
        ),
        ("same top token", percent(numbers.same_top_token), ABSENT),
        (
            "perplexity Δ",
            f"{digits(numbers.perplexity_delta, sign=True)} "
            f"({digits(numbers.perplexity_ref, significant=6)} → "
            f"{digits(numbers.perplexity_quant, significant=6)})",
            interval(ends.perplexity_delta, sign=True),
        ),
        ("perplexity ratio", ratio, interval(ends.perplexity_ratio, significant=6)),
        ("correlation of NLLs", digits(numbers.nll_correlation, significant=6), ABSENT),
        ("Δp mean", f"{digits(numbers.delta_p['mean'], sign=True)} %", ABSENT),
        ("Δp RMS", f"{digits(numbers.delta_p['rms'])} %", ABSENT),
    ]
    lines = table(("metric", "value", interval_name(ends)), rows)
    lines += ["", interval_sentence(ends, "Intervals over"), ""]
    if row.noise_floors is not None:
        lines += [_noise(row.noise_floors), ""]
    elif row.noise_floor is not None:
        lines += [f"Noise floor of the KL mean: {digits(row.noise_floor)} nats.", ""]
    return lines


def _noise(floor: NoiseFloor) -> str:
    """The noise floor: what it is, how well it is known, what it does not cover."""
    shown = []
    for metric, words in _METRIC_WORDS.items():
        scale, unit = _unit(metric)
        found: NoiseOf | None = getattr(floor, metric)
        if found is not None:
            ends = digits(scale * found.deviation), digits(scale * found.upper)
            shown.append(f"{words} {ends[0]} {unit} (at most {ends[1]})")
    few = ""
    if floor.repeats < FEWEST_REPEATS:
        few = f" {floor.repeats} repeats say next to nothing: measure it with at least "
        few += f"{FEWEST_REPEATS}."
    return (
        f"Noise floor over {floor.repeats} repeats, standard deviation when the last bit of the "
        f"input changes, with the upper end of its 95 % interval: {', '.join(shown)}.{few} "
        "Differences below that end are not ranked. It is a lower bound of what other arithmetic "
        "does: another device, BLAS or version of MLX can move the figures by several times as "
        "much."
    )


def _deployment(row: SettingRow) -> list[str]:
    if not row.quantize_start:
        return []
    return [
        f"> **Deployment mode:** the first {plural(row.quantize_start, 'position')} of a chunk "
        "run at full precision and are not scored; then their stored keys and values are "
        "converted too. Numbers of stress mode are about other positions.",
        "",
    ]


def _versions(row: SettingRow, numbers: SettingNumbers) -> str:
    return (
        f"_mlx {text(row.mlx_version)}, mlx-lm {text(row.mlx_lm_version)}, model rev "
        f"{code(row.model_revision or 'none')}, key {key_code(row)}, peak "
        f"{bytes_of(row.peak_memory_bytes or None)}, on {text(row.device)}, "
        f"{count(numbers.n_positions)} positions in {digits(row.seconds, significant=3)} s_"
    )


def _computed(row: SettingRow, reference: ReferencePart) -> list[str]:
    if not row.arithmetic:
        return []
    words = f"Computed by: {text(row.arithmetic)}"
    dequantized = row.measured_kv_bytes_per_token is None and row.path == "deployed"
    if dequantized and row.runnable_by_mlx_lm and reference.compute_dtype == "float32":
        words += "; in float32 the same function as mlx-lm's quantized attention, up to rounding"
    if row.engagement:
        words += f". Engaged: {changed_layers(row.engagement)}"
    lines = [f"{words}.", ""]
    if row.same_as:
        lines += [f"Same arithmetic here as {code(row.same_as)}.", ""]
    return lines


def _control(row: SettingRow, numbers: SettingNumbers) -> list[str]:
    control = numbers.control_kl
    if control is None:
        note = row.control_note
        return [] if note is None else [f"**Quantizer-only control:** none, {text(note)}.", ""]
    rows = [
        ("deployed", numbers.kl, numbers.flip_rate),
        ("quantizer only", control, numbers.control_flip_rate),
    ]
    body = [(name, digits(kl.mean), digits(kl.p99), percent(flips)) for name, kl, flips in rows]
    head = ("lane", "KL mean (nats)", "KL p99 (nats)", "flips")
    return ["**Quantizer-only control**", "", *table(head, body), ""]


def _cost(row: SettingRow) -> list[str]:
    per_token = row.kv_bytes_per_token
    if per_token is None:
        return []
    share, full = percent(row.kv_bytes_share), count(row.kv_bytes_per_token_16bit)
    words = (
        f"**Cost:** {count(per_token)} bytes of KV cache per token, {share} of the {full} at 16 bit"
    )
    if row.kv_context is not None:
        words += (
            f"; at {count(row.kv_context)} tokens {bytes_of(row.kv_bytes_at_context)} "
            f"instead of {bytes_of(row.kv_bytes_at_context_16bit)}"
        )
    measured = row.measured_kv_bytes_per_token
    words += (
        "; none measured, this arithmetic keeps no codes"
        if measured is None
        else f"; measured {count(measured)} bytes per token"
    )
    layers = f"{row.kv_layers_quantized} of {row.kv_layers_total} layers quantized"
    return [f"{words}. {layers}.", ""]
