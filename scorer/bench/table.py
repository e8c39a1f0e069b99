"""Formats the result of a benchmark as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from scorer.report.formats.inline import bytes_of, plural, text


def to_markdown(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines: the subject, the times, and the share of each part."""
    settings = [text(name.removesuffix("~dequantized")) for name in result["settings"]]
    passes = len(settings) + 1
    yield f"# qfid bench: {text(result['model'])}"
    yield ""
    yield (
        f"{text(result['device'])}, {text(result['device_name'])}, {result['compute_dtype']}; "
        f"{plural(result['chunks'], 'chunk')} of {result['chunk_length']} tokens, "
        f"{result['batch']} at a time; best of {result['repeats']}; "
        f"{result['path']} path: {', '.join(settings)}"
    )
    yield ""
    yield "| what | per chunk | tokens per second |"
    yield "|---|---|---|"
    speed = result["tokens_per_s"]
    yield f"| bare forward | {_ms(result['bare_s_per_chunk'])} | {speed['bare']:.0f} |"
    yield (
        f"| scoring, {passes} passes | {_ms(result['scoring_s_per_chunk'])} | "
        f"{speed['scoring']:.0f} |"
    )
    yield ""
    repeats = ", ".join(f"{ratio:.3f}" for ratio in result["ratio_of_each_repeat"])
    yield f"- scoring ÷ ({passes} × bare): **{result['ratio_to_bare']:.3f}** (repeats: {repeats})"
    shares = ", ".join(f"{name} {100 * part:.1f} %" for name, part in result["share"].items())
    yield f"- share: {shares}"
    beside = result["beside_products"]
    if beside is not None:
        yield (
            f"- passes on {plural(beside['workers'], 'core')} at once: {_ms(beside['pass_s'])} "
            f"each, **{beside['ratio']:.2f}** times its products "
            f"({beside['pass_flop'] / 1e9:.3g} GFLOP at {beside['flop_per_s'] / 1e9:.0f} GFLOP/s)"
        )
    peak = result["peak_bytes_above_weights"]
    kernel = result["metrics_kernel"]
    if kernel is not None:
        yield (
            f"- metrics kernel: {_terabytes(kernel['bytes_per_s'])} read, "
            f"{1000 * kernel['seconds']:.3f} ms for 511 pairs of rows; a copy: "
            f"{_terabytes(kernel['copy_bytes_per_s'])}"
        )
    yield f"- peak memory above weights: {'unknown' if peak is None else bytes_of(peak)}"


def ranks_to_markdown(result: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines: the subject, and what each number of ranks took."""
    yield f"# qfid bench --ranks: {text(result['model'])}"
    yield ""
    yield (
        f"{text(result['device'])}, {text(result['device_name'])}; "
        f"{plural(result['chunks'], 'chunk')} of {result['chunk_length']} tokens; "
        f"best of {result['repeats']}: "
        f"{', '.join(text(name.removesuffix('~dequantized')) for name in result['settings'])}"
    )
    yield ""
    yield (
        "| ranks | start | first batch | scoring | efficiency after the first batch | of scoring "
        "| with the start | gathered per chunk |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for row in result["ranks"]:
        gathered, settled = row["gathered_bytes_per_chunk"], row["efficiency_after_first_batch"]
        yield (
            f"| {row['ranks']} | {row['start_s']:.2f} s | {row['first_batch_s']:.2f} s | "
            f"{row['scoring_s']:.2f} s | {'–' if settled is None else f'{settled:.3f}'} | "
            f"{row['efficiency']:.3f} | {row['efficiency_with_start']:.3f} | "
            f"{bytes_of(round(gathered)) if gathered else '–'} |"
        )


def weights_to_markdown(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines: the subject, the times together and in turns, and what loading took."""
    yield f"# qfid bench --weights: {text(result['model'])}"
    yield ""
    yield (
        f"{text(result['device'])}, {text(result['device_name'])}, {result['compute_dtype']}; "
        f"{plural(result['chunks'], 'chunk')} of {result['chunk_length']} tokens, "
        f"{result['batch']} at a time; best of {result['repeats']}: "
        f"{', '.join(text(name.removesuffix('~dequantized')) for name in result['settings'])}"
    )
    yield ""
    yield "| what | per chunk |"
    yield "|---|---|"
    passes = result["passes"]
    yield f"| {passes} bare forwards | {_ms(result['bare_s_per_chunk'])} |"
    yield f"| scoring, all together | {_ms(result['together_s_per_chunk'])} |"
    yield f"| bare tails of the reference | {_ms(result['reference_tails_s_per_chunk'])} |"
    yield f"| scoring, in turns | {_ms(result['in_turns_s_per_chunk'])} |"
    yield ""
    repeats = ", ".join(f"{ratio:.3f}" for ratio in result["ratio_of_each_repeat"])
    yield f"- together ÷ bare: **{result['ratio_to_bare']:.3f}** (repeats: {repeats})"
    yield f"- in turns ÷ (bare + tails): **{result['ratio_in_turns']:.3f}**"
    loading = ", ".join(f"{text(k)} {v:.2f} s" for k, v in result["loading_s"].items())
    yield f"- loading, apart: {loading}"


def start_to_markdown(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines: how long a run took to its first scored batch, step by step."""
    settings = [text(name.removesuffix("~dequantized")) for name in result["settings"]]
    yield f"# qfid bench --start: {text(result['model'])}"
    yield ""
    yield (
        f"{text(result['device'])}, {text(result['device_name'])}; chunks of "
        f"{result['chunk_length']} tokens; {result['path']} path: {', '.join(settings)}"
    )
    for start in result["starts"]:
        yield ""
        yield f"**{start['seconds']:.1f} s** to the first batch, kernel cache {start['cache']}"
        yield ""
        for step in start["steps"]:
            detail = f": {text(step['detail'])}" if step["detail"] else ""
            yield f"- {step['seconds']:.2f} s {step['name']}{detail}"


def report_to_markdown(result: Mapping[str, Any]) -> Iterator[str]:
    """Lines: what the report of a saved run takes, beside reading it once."""
    settings = ", ".join(map(text, result["settings"]))
    yield "# qfid bench --report"
    yield ""
    yield (
        f"a made-up run of {plural(result['chunks'], 'chunk')} of {result['chunk_length']} tokens, "
        f"{settings}: {bytes_of(result['stored_bytes'])}; best of {result['repeats']}"
    )
    yield ""
    repeats = ", ".join(f"{ratio:.2f}" for ratio in result["ratio_of_each_repeat"])
    yield f"- reading it once, every checksum compared: {result['reading_s']:.2f} s"
    yield (
        f"- its report: {result['report_s']:.2f} s, **{result['ratio_to_reading']:.2f}** times "
        f"that (repeats: {repeats})"
    )
    yield (
        f"- peak memory above the start: {bytes_of(result['peak_bytes_above_start'])}, "
        f"**{result['ratio_to_stored_bytes_per_setting']:.2f}** times what is stored of one "
        f"setting ({bytes_of(result['stored_bytes_per_setting'])})"
    )


def _terabytes(speed: float) -> str:
    return f"{speed / 1e12:.2f} TB/s"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.1 else f"{1000 * seconds:.2f} ms"
