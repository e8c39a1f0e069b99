"""What the workbench says in words: its title, the run, the row with the cursor.

Pure standard library; every text from outside is made inert by the widgets that draw it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from qfid_tui.kv_cost import Fit
from qfid_tui.model_list import shortened
from qfid_tui.progress import duration, rate_text
from scorer.inline import bytes_of, count, plural

if TYPE_CHECKING:
    from qfid_tui.choices import Choices
    from qfid_tui.comparison import Comparison
    from qfid_tui.table_rows import TableRow
    from scorer.events import Hello

Line = list[tuple[str, str]]
"""Parts of a line: text and the name of its style."""


def title_text(choices: Choices, comparison: Comparison, machine: Hello | None, width: int) -> str:
    """Model, text, chunks and device in one line; the model's owner is cut first."""
    rest = f" · {text_name(choices.text)} · {chunks_text(choices, comparison)}"
    if machine is not None:
        rest += f" · {machine.device}"
    model = choices.model or "no model chosen"
    return shortened(model, max(8, width - len(rest) - 8)) + rest


def text_name(corpus: str) -> str:
    """A corpus as one calls it."""
    return {"wikitext2": "WikiText-2", "builtin": "built-in text"}.get(corpus, Path(corpus).name)


def chunks_text(choices: Choices, comparison: Comparison) -> str:
    """How many chunks of how many tokens, and which."""
    if choices.max_chunks is None:
        return f"all chunks of {choices.chunk_length}"
    return f"{choices.max_chunks} chunks of {choices.chunk_length}, {choices.chunks}"


def fit_line(fit: Fit | None, device: Hello | None) -> Line:
    """Whether the run fits, in words."""
    if fit is None or device is None:
        return [("asking the device how much memory there is …", "muted")]
    needed, free = bytes_of(round(fit.needed, -7)), bytes_of(round(fit.free, -7))
    where = f"{device.device}, {device.device_name}"
    if fit.fits:
        return [("✓ fits: ", "good"), (f"about {needed} of {free} free ({where})", "muted")]
    return [
        ("✗ will not fit: ", "bad"),
        (f"about {needed} needed, {free} of {bytes_of(fit.total)} free ({where})", "text"),
    ]


def key(name: str, what: str) -> Line:
    """A key and what it does."""
    return [(name, "strong"), (what, "text")]


def run_title(comparison: Comparison) -> str:
    """The run panel's title."""
    titles = {
        "idle": "Ready",
        "starting": "Starting",
        "scoring": "Running",
        "stopping": "Stopping",
        "stopped": "Stopped",
        "finished": "Finished",
        "failed": "✗ Failed",
    }
    return titles[comparison.phase]


def progress_line(comparison: Comparison) -> Line:
    """Where the run is: chunk, setting, rate, time left, memory."""
    run = comparison.progress
    if comparison.planned_chunks == 0:
        return [(comparison.step or "starting the scorer", "text"), (" …", "muted")]
    words = [f"chunk {min(run.complete + 1, run.chunks)} of {run.chunks}"]
    words.append(f"setting {run.current}" if run.current else "reference")
    if run.rate is not None:
        words.append(rate_text(run.rate))
    if run.seconds_left is not None:
        words.append(f"{duration(run.seconds_left)} left")
    if comparison.memory:
        words.append(bytes_of(round(comparison.memory, -6)))
    return [(" · ".join(words), "text")]


def ended_line(comparison: Comparison) -> Line:
    """How a run that is over stands."""
    where = f"{comparison.progress.complete} of {plural(comparison.planned_chunks, 'chunk')}"
    if comparison.phase == "finished":
        chunks = plural(comparison.planned_chunks, "chunk") if comparison.planned_chunks else "all"
        return [("✓ ", "good"), (f"{chunks} scored, saved as {comparison.run}", "text")]
    if comparison.phase == "stopped" and comparison.run is not None:
        return [
            (f"stopped after {where}, all saved · ", "text"),
            ("r", "strong"),
            (" goes on", "text"),
        ]
    if comparison.phase == "stopped":
        return [
            ("stopped before anything was scored · ", "text"),
            ("r", "strong"),
            (" runs", "text"),
        ]
    failure = comparison.failure
    if failure is None:
        return [("✗ ", "bad"), ("the scorer ended without a report", "text")]
    hint = f"; {failure.hint}" if failure.hint else ""
    return [("✗ ", "bad"), (f"{failure.message}{hint}", "text")]


def best_line(comparison: Comparison) -> Line | None:
    """The cheapest good setting so far; None before any number."""
    if not any(result.figures for result in comparison.settings.values()):
        return None
    found = comparison.cheapest_good()
    so_far = "" if comparison.phase == "finished" else " so far"
    if found is None:
        return [(f"no setting is good{so_far}: tick a wider one", "text")]
    name, figures = found
    full = comparison.kv_bytes.get("", 0.0)
    cost = comparison.kv_bytes.get(name)
    share = f" ({100 * cost / full:.0f} % of the 16-bit cache)" if cost and full else ""
    sure = "?" if figures.is_open else ""
    return [
        (f"cheapest good setting{so_far}: ", "text"),
        (f"{name}{sure}", "good"),
        (share, "muted"),
    ]


def about_row(row: TableRow | None) -> str:
    """The row with the cursor in words: what it is and what it costs."""
    if row is None:
        return ""
    if row.origin:
        return f"{row.name}: scored in an earlier run, {row.origin}"
    words = [_described(row)]
    if row.cost is not None:
        words.append(f"{count(row.cost.per_token)} B/token")
        words += [
            f"{k}k {bytes_of(round(at))}" for k, at in zip((8, 32, 128), row.cost.at, strict=False)
        ]
    return " · ".join(words)


def _described(row: TableRow) -> str:
    setting = row.setting
    if setting is None:
        return "16 bit: the cache as it is without quantization"
    if setting.k_bits == setting.v_bits:
        text = f"{setting.k_bits}-bit keys and values"
    else:
        text = f"keys {setting.k_bits} bit, values {setting.v_bits} bit"
    text += f", groups of {setting.group_size}"
    if setting.start:
        text += f", the first {setting.start} tokens at full precision"
    if setting.path == "dequantized":
        text += ", dequantized"
    return text
