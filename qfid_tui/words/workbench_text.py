"""What the workbench says in words: its title, the run, the row with the cursor.

Pure standard library; every text from outside is made inert by the widgets that draw it.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from qfid_tui.state.kv_cost import CONTEXTS, Fit, fit_of, short_bytes
from qfid_tui.state.next_run import NextRun, next_run
from qfid_tui.state.text_names import text_name
from qfid_tui.words.model_list import shortened
from qfid_tui.words.progress import duration, loading_text, rate_text
from scorer.common.errors import InputError
from scorer.report.formats.inline import count, digits, plural
from scorer.spec.settings.kv import KVSetting

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.table_rows import TableRow
    from scorer.models.info import ModelInfo
    from scorer.spec.events import Hello
    from scorer.spec.settings.base import Setting

_WIDE = 110

METRICS = {"kl_mean": "KL mean", "kl_p99": "KL p99", "flip_rate": "flips"}
"""What the metrics of a verdict are called."""

Line = list[tuple[str, str]]
"""Parts of a line: text and the name of its style."""


def title_text(choices: Choices, comparison: Comparison, machine: Hello | None, width: int) -> str:
    """Model, text, chunks and device in one line; the model's owner is cut first.

    While a run goes on they are those of the run, whatever has been chosen since.
    """
    shown = choices
    if comparison.is_active and comparison.job is not None:
        shown = dataclasses.replace(choices)
        shown.adopt(comparison.job)
    rest = f" · {text_name(shown.text)} · {chunks_text(shown)}"
    model = shown.model or "no model chosen"
    if machine is not None:
        full = f"{rest} · {comparison.arithmetic}"
        # The arithmetic is in the report too; the model's own name is not to be cut for it.
        fits = len(model.rpartition("/")[2]) + len(full) + 8 <= width
        with_room = comparison.arithmetic and width >= _WIDE and fits
        rest = full if with_room else f"{rest} · {machine.device}"
    return shortened(model, max(8, width - len(rest) - 8)) + rest


def chunks_text(choices: Choices) -> str:
    """How many chunks of how many tokens, and which."""
    if choices.max_chunks is None:
        return f"all chunks of {choices.chunk_length}"
    return f"{choices.max_chunks} chunks of {choices.chunk_length}, {choices.chunks}"


def fit_line(fit: Fit | None, device: Hello | None) -> Line:
    """Whether the run fits, in words."""
    if device is None:
        return [("asking the device how much memory there is …", "muted")]
    if fit is None:
        return [("the model's files cannot be read any more", "text")]
    needed, free = short_bytes(fit.needed), short_bytes(fit.free)
    where = f"{device.device}, {device.device_name}"
    if fit.fits:
        return [("✓ fits: ", "good"), (f"about {needed} of {free} free ({where})", "muted")]
    return [
        ("✗ will not fit: ", "bad"),
        (f"about {needed} needed, {free} of {short_bytes(fit.total)} free ({where})", "text"),
    ]


def key(name: str, what: str) -> Line:
    """A key and what it does."""
    return [(name, "strong"), (what, "text")]


def _renamed(line: Line, names: Mapping[str, str]) -> Line:
    """A line with the user's own keys in place of ours."""
    return [(names.get(text, text) if style == "strong" else text, style) for text, style in line]


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
        return [(_step_text(comparison), "text"), (" …", "muted")]
    words = [f"chunk {min(run.complete + 1, run.chunks)} of {run.chunks}"]
    words.append(f"setting {run.current}" if run.current else "reference")
    if run.rate is not None:
        words.append(rate_text(run.rate))
    if run.seconds_left is not None:
        words.append(f"{duration(run.seconds_left)} left")
    if comparison.memory:
        words.append(short_bytes(comparison.memory))
    return [(" · ".join(words), "text")]


def run_lines(
    choices: Choices,
    comparison: Comparison,
    model: ModelInfo | None,
    machine: Hello | None,
    unfinished: str | None,
    names: Mapping[str, str],
) -> list[Line]:
    """What the run panel says: how the run stands, what comes next, what is best so far.

    Args:
        choices: What is chosen.
        comparison: What is scored.
        model: The chosen model, else that with the cursor; None where it is not at hand.
        machine: The device; None while it is not known.
        unfinished: Id of an earlier run of the model that lacks something.
        names: Our keys to the user's own, where they were replaced.
    """
    if comparison.is_active:
        lines = [progress_line(comparison)]
        if comparison.phase == "stopping":
            lines.append([("stopping after this step; ", "text"), *key("x", " stops at once")])
    else:
        lines = [] if comparison.phase == "idle" else [ended_line(comparison)]
        lines += _next_lines(choices, comparison, model, machine)
        if comparison.phase == "idle" and unfinished is not None:
            lines.append(
                [(f"{unfinished} is unfinished: ", "text"), *key("u", " opens it, to go on")]
            )
    if comparison.is_active and comparison.warnings:
        lines.append([("! ", "warning"), (comparison.warnings[-1][0], "text")])
    if (best := best_line(comparison)) is not None:
        lines.append(best)
    return [_renamed(line, names) for line in lines]


def _next_lines(
    choices: Choices, comparison: Comparison, model: ModelInfo | None, machine: Hello | None
) -> list[Line]:
    if choices.model is None:
        lines = [
            [("Choose a model: ", "text"), *key("arrows", " move, "), *key("enter", " takes it")]
        ]
        return [*lines, _fit_line(choices, model, machine)] if model is not None else lines
    if model is None:
        return [
            [(f"{choices.model} is not at hand; ", "text"), *key("m", " chooses another model")]
        ]
    try:
        planned = next_run(choices, comparison)
    except InputError as error:
        return [[(f"{error.message}: {error.hint}", "text")]]
    lines = [_next_line(planned, comparison)]
    if comparison.phase == "idle":
        lines.append(_fit_line(choices, model, machine))
    return lines


def _fit_line(choices: Choices, model: ModelInfo, machine: Hello | None) -> Line:
    fit = None
    if machine is not None:
        fit = fit_of(model, machine, chunk_length=choices.chunk_length, batch=choices.batch)
    return fit_line(fit, machine)


def _next_line(planned: NextRun, comparison: Comparison) -> Line:
    names = ", ".join(planned.missing)
    if planned.kind == "new":
        settings = plural(len(planned.missing), "setting")
        if comparison.phase == "idle":
            chunks = planned.job.max_chunks
            on = "the whole text" if chunks is None else plural(chunks, "chunk")
            return [(f"{settings} on {on}: ", "text"), *key("r", " or "), *key("enter", " runs")]
        if comparison.run is None:
            return [*key("r", " tries again")]
        return [("model or options changed: ", "text"), *key("r", f" compares {settings} anew")]
    if planned.kind == "add":
        return [*key("r", f" scores {names} alone and adds it to this comparison")]
    if planned.kind == "go_on":
        return [*key("r", f" goes on with {names}")]
    return [*key("space", " ticks another setting to add, "), *key("e", " writes the report")]


def ended_line(comparison: Comparison) -> Line:
    """How a run that is over stands."""
    if comparison.phase == "finished":
        chunks = plural(comparison.planned_chunks, "chunk")
        return [("✓ ", "good"), (f"{chunks} scored, saved as {comparison.run}", "text")]
    if comparison.phase == "stopped" and comparison.run is not None:
        of = plural(comparison.planned_chunks, "chunk")
        return [(f"stopped: {comparison.complete} of {of} scored and saved", "text")]
    if comparison.phase == "stopped":
        return [("stopped before anything was scored", "text")]
    failure = comparison.failure
    if failure is None:
        return [("✗ ", "bad"), ("the scorer ended without a report", "text")]
    hint = f"; {failure.hint}" if failure.hint else ""
    return [("✗ ", "bad"), (f"{failure.message}{hint}", "text")]


def _least_drift(comparison: Comparison) -> str:
    known = [(r.figures.kl_mean, n, r.figures) for n, r in comparison.settings.items() if r.figures]
    finite = [entry for entry in known if math.isfinite(entry[0])]
    if not finite:
        return ""
    _, name, figures = min(finite, key=lambda entry: entry[0])
    return f"; {name} drifts least: {figures.verdict}{'?' if figures.is_open else ''}"


def best_line(comparison: Comparison) -> Line | None:
    """The cheapest good setting so far; None before any number."""
    if not any(result.figures for result in comparison.settings.values()):
        return None
    found = comparison.cheapest_good()
    so_far = "" if comparison.phase == "finished" else " so far"
    if found is None:
        return [(f"no setting is good{so_far}{_least_drift(comparison)}", "text")]
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


ABOUT_FILTER = "arrows move, enter takes the model, esc shows all again"


def about_models(known: Collection[str], names: Mapping[str, str]) -> str:
    """What can be done in the list of models.

    Args:
        known: Names of the models that can be scored, the demo among them.
        names: Our keys to the user's own, where they were replaced.
    """
    run, find = (names.get(key, key) for key in ("r", "/"))
    keys = f"enter takes the model, {run} runs it at once"
    if len(known) > 1:
        return f"{keys}, {find} filters"
    return f"{keys} · no other is cached: `qfid pull org/name`"


def about_row(
    row: TableRow | None,
    *,
    with_costs: bool,
    with_note: bool,
    width: int,
    names: Mapping[str, str],
) -> str:
    """The row with the cursor in words.

    Args:
        row: The row; None for none.
        with_costs: Say what it costs, because the table does not.
        with_note: Say what its numbers mean, because the table does not.
        width: Cells of the line; what has no room is left out whole.
        names: Our keys to the user's own, where they were replaced.
    """
    if row is None:
        return ""
    if row.origin:
        detail, inspect = (names.get(key, key) for key in ("d", "i"))
        return f"{row.name}: an earlier run, {row.origin}; {detail} and {inspect} open it"
    words = [_described(row)]
    if with_note and (row.figures is not None or row.failure is not None):
        words = [f"{row.name}: {note(row)}"]
    if with_note and row.figures is not None:
        words.append(f"KL p99 {digits(row.figures.kl_p99, significant=3)}")
    said = " · ".join(words)
    if with_costs and row.cost is not None:
        costs = [
            f"{tokens >> 10}k {row.cost.sign}{short_bytes(held)}"
            for tokens, held in zip(CONTEXTS, row.cost.at, strict=False)
        ]
        # The longest context is the last to go.
        for first in range(len(costs)):
            longer = f"{said} · KV {', '.join(costs[first:])}"
            if len(longer) <= width:
                return longer
    return said


def note(row: TableRow, *, with_p99: bool = False) -> str:
    """What a row's numbers mean, in a few words; its cost where it has none.

    Args:
        row: The row.
        with_p99: Say the 99th percentile of KL too.
    """
    figures = row.figures
    if row.failure is not None:
        return row.failure
    if row.origin:
        return row.origin
    if figures is None:
        if row.cost is None:
            return ""
        at = zip(CONTEXTS, row.cost.at, strict=False)
        sign = row.cost.sign
        return " · ".join(f"{tokens >> 10}k {sign}{short_bytes(held)}" for tokens, held in at)
    words = [plural(figures.chunks, "chunk")]
    if with_p99:
        words.append(f"p99 {digits(figures.kl_p99, significant=3)}")
    if figures.chunks == 1:
        words.append("no interval yet" if figures.is_open else "one chunk has no interval")
    elif figures.is_open:
        more = figures.more_chunks
        settle = "on a bound" if more is None else f"about {count(more)} more to settle"
        if more is not None and 0 < row.text_chunks < figures.chunks + more:
            settle = "this text cannot settle it"
        words.append(f"open: {settle}")
    elif figures.held_by:
        words.append("held down by " + ", ".join(METRICS.get(m, m) for m in figures.held_by))
    return " · ".join(words)


def _described(row: TableRow) -> str:
    if row.setting is None:
        return "16 bit: the cache as it is without quantization"
    return setting_text(row.setting)


def setting_text(setting: Setting) -> str:
    """A setting in words; its key where there are none for it."""
    if not isinstance(setting, KVSetting) or not setting.is_stock:
        return setting.key
    if setting.k_bits == setting.v_bits:
        text = f"{setting.k_bits}-bit keys and values"
    else:
        text = f"keys {setting.k_bits} bit, values {setting.v_bits} bit"
    text += f", groups of {setting.group_size}"
    if setting.start:
        text += f", the first {setting.start} tokens at full precision"
    return text + (", dequantized" if setting.path == "dequantized" else "")


def _step_text(comparison: Comparison) -> str:
    """What is done before scoring begins."""
    return "starting the scorer" if comparison.step is None else loading_text(comparison.step)
