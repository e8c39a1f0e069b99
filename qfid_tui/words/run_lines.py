"""The run panel in words: the state of the run, the next step, the best setting so far.

Pure standard library; the widget makes every text inert.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qfid_tui.state.app_hints import error_text, in_app
from qfid_tui.state.kv_cost import short_bytes
from qfid_tui.state.more_chunks import more_chunks
from qfid_tui.state.setting_names import has_weights, names_of, short_name
from qfid_tui.state.text_turns import runs_side_by_side
from qfid_tui.state.texts import named, turns
from qfid_tui.words.best_setting import Line, best_line, without_parts
from qfid_tui.words.grid_lines import cells_text
from qfid_tui.words.progress import (
    done_text,
    dropped_text,
    duration,
    loading_text,
    look_text,
    ranks_text,
    rate_text,
    where_text,
)
from scorer.common.errors import InputError, OtherConditions
from scorer.report.formats.inline import plural
from scorer.spec.settings.weights import WeightsSetting, caches_of, sources_of

if TYPE_CHECKING:
    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.next_run import NextRun
    from qfid_tui.state.workbench import WorkbenchState
    from scorer.report.stopping_part import StoppingPart
    from scorer.spec.job import Job


def run_title(comparison: Comparison) -> str:
    """The title of the run panel."""
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


def run_lines(state: WorkbenchState) -> list[Line]:
    """The lines of the run panel."""
    comparison = state.comparison
    if comparison.is_active:
        lines = [progress_line(comparison)]
        lines += _best_lines(state)
        if comparison.progress.ranks is not None:
            lines.append([(ranks_text(comparison.progress.ranks), "muted")])
        if comparison.phase == "stopping":
            lines.append([("stopping after this step; ", "text"), *key("x", " stops at once")])
    else:
        ended = [] if comparison.phase == "idle" else [ended_line(comparison, state.key_names)]
        # The title says that a run has finished; of another end the first line says more.
        lines = [*_best_lines(state), *ended]
        if comparison.phase != "finished":
            lines = [*ended, *_best_lines(state)]
        lines += _next_lines(state)
        if comparison.phase == "idle" and state.unfinished is not None:
            lines.append(
                [(f"{state.unfinished} is unfinished: ", "text"), *key("u", " opens it, to go on")]
            )
    if comparison.is_active and (look := comparison.progress.look) is not None:
        lines.append([("· ", "muted"), (look_text(look), "text")])
    if comparison.is_active and state.queue:
        lines.append([(f"then: {', '.join(map(named, state.queue))}", "muted")])
    if not comparison.is_active and runs_side_by_side(state).runs:
        lines.append([*key("J", " sets the texts and lengths side by side")])
    if comparison.is_active and comparison.progress.dropped:
        name, reason = list(comparison.progress.dropped.items())[-1]
        others = len(comparison.progress.dropped) - 1
        more = f" ({plural(others, 'other')} too)" if others else ""
        lines.append([("· ", "muted"), (dropped_text(name, reason) + more, "text")])
    if comparison.is_active and comparison.warnings:
        lines.append([("! ", "warning"), (comparison.warnings[-1][0], "text")])
    return [_with_own_keys(line, state.key_names) for line in lines]


def _best_lines(state: WorkbenchState) -> list[Line]:
    """The recommendation: what follows it is cut first on a low screen."""
    comparison = state.comparison
    best = best_line(comparison)
    if best is not None and comparison.compares_weights and comparison.report is not None:
        part = state.grid.part
        if part is not None and part.sentences:
            # For the memory and context chosen now.
            best = [(without_parts(part.sentences[0]), "text")]
    return [] if best is None else [best]


def key(name: str, what: str) -> Line:
    """A key, by its default name, and what it does."""
    return [(name, "strong"), (what, "text")]


def _with_own_keys(line: Line, names: Mapping[str, str]) -> Line:
    """A line with the user's own keys in place of the default keys."""
    return [(names.get(text, text) if style == "strong" else text, style) for text, style in line]


def progress_line(comparison: Comparison) -> Line:
    """Progress of the run: chunk, setting, rate, time left, memory."""
    run = comparison.progress
    if comparison.planned_chunks == 0:
        return [(_step_text(comparison), "text"), (" …", "muted")]
    words = [where_text(run)]
    if run.loading is not None:
        words = [f"{loading_text(run.loading)}: the next set of weights", done_text(run)]
    else:
        words.append(f"setting {short_name(run.current)}" if run.current else "reference")
    if run.silence is not None:
        words.append(f"no news for {duration(run.silence)}")
    if run.rate is not None:
        words.append(rate_text(run.rate))
    if run.seconds_left is not None:
        words.append(f"{duration(run.seconds_left)} left")
    if comparison.memory:
        words.append(short_bytes(comparison.memory))
    return [(" · ".join(words), "text")]


def _step_text(comparison: Comparison) -> str:
    """The step before scoring that is going on."""
    return "starting the scorer" if comparison.step is None else loading_text(comparison.step)


def _next_lines(state: WorkbenchState) -> list[Line]:
    """What the user can do while no run is going on."""
    comparison = state.comparison
    if state.choices.model is None:
        lines = [
            [("Choose a model: ", "text"), *key("arrows", " move, "), *key("enter", " takes it")]
        ]
        return lines if state.highlighted is None else [*lines, fit_line(state)]
    if state.highlighted is not None:
        taken = [*key("enter", f" takes {state.highlighted.name}, "), *key("r", " runs it at once")]
        return [taken, fit_line(state)]
    if state.model is None:
        text = f"{state.choices.model} is not at hand; "
        return [[(text, "text"), *key("m", " chooses another model")]]
    planned = state.planned
    if isinstance(planned, InputError):
        return [[(error_text(planned, state.key_names), "text")]]
    several = len(turns(state.choices))
    if several > 1 and comparison.phase == "idle":
        ticked = plural(len(state.choices.ticked_settings()), "setting")
        texts = f"{ticked} on each of {several} texts and lengths, in turn: "
        return [[(texts, "text"), *key("r", " runs")], fit_line(state)]
    lines = [_next_line(planned, state)]
    if comparison.phase == "idle":
        lines.append(fit_line(state))
    return lines


def fit_line(state: WorkbenchState) -> Line:
    """Whether the run fits in memory, or what is still to be read before that is known."""
    device, fit = state.device, state.fit
    if device is None:
        return [("asking the device how much memory there is …", "muted")]
    if state.shown_model not in state.sizes:
        return [("reading the sizes of the weights …", "muted")]
    if fit is None:
        return [("the model's files cannot be read any more", "text")]
    needed, free = short_bytes(fit.needed), short_bytes(fit.free)
    where = f"{device.device}, {device.device_name}"
    if fit.fits:
        turns = ", sets of weights in turns" if fit.in_turns else ""
        said = f"about {needed} of {free} free ({where}){turns}"
        return [("✓ fits: ", "good"), (said, "muted")]
    return [
        ("✗ will not fit: ", "bad"),
        (f"about {needed} needed, {free} of {short_bytes(fit.total)} free ({where})", "text"),
    ]


def _next_line(planned: NextRun, state: WorkbenchState) -> Line:
    comparison = state.comparison
    names = names_of(planned.missing)
    if planned.kind == "reopen":
        if not planned.missing:
            return [("scored already: ", "text"), *key("r", f" opens {planned.run}")]
        return [*key("r", f" goes on with {planned.run}: scores {names}")]
    if planned.kind == "new":
        settings = plural(len(planned.missing), "setting")
        if comparison.phase == "idle":
            chunks = planned.job.max_chunks
            on = "the whole text" if chunks is None else plural(chunks, "chunk")
            if planned.job.until_settled:
                on = f"{on} at most, until settled"
            if (cells := _cells(planned.job)) is not None:
                # One table is judged by one measure.
                pairs = key("p", " without pairs") if cells[1] else []
                judged = f"{cells[0]} on {on}, judged by the bounds of weights: "
                return [(judged, "text"), *key("r", " runs" + ", " * bool(pairs)), *pairs]
            return [(f"{settings} on {on}: ", "text"), *key("r", " runs")]
        if comparison.run is None and _would_fail_again(planned, comparison):
            return [
                ("change what it names first: ", "text"),
                *key("m", " models, "),
                *key("o", " options, "),
                *key("s", " settings"),
            ]
        if comparison.run is None:
            return [*key("r", " tries again")]
        return [("model or options changed: ", "text"), *key("r", f" compares {settings} anew")]
    if planned.kind == "add":
        them = "it" if len(planned.missing) == 1 else "them"
        said = f" scores {names} alone and adds {them} to this comparison"
        if any(map(has_weights, planned.missing)) and not comparison.compares_weights:
            said += "; then the bounds of weights judge every row"
        return [*key("r", said)]
    if planned.kind == "more":
        chunks = planned.job.max_chunks
        to = "every chunk of the text" if chunks is None else plural(chunks, "chunk")
        return [*key("r", f" adds chunks: {names} on {to}, only what is missing is scored")]
    if planned.kind == "go_on":
        return [*key("r", f" goes on with {names}")]
    more = [] if more_chunks(state) is None else [*key("+", " adds chunks"), (", ", "text")]
    return [
        *key("space", " ticks another setting to add, "),
        *more,
        *key("e", " writes the report"),
    ]


def _cells(job: Job) -> tuple[str, bool] | None:
    """How many settings a job with weights comes to, and whether pairs are among them."""
    weights, caches = len(sources_of(job.settings)), len(caches_of(job.settings))
    if not weights:
        return None
    pairs = any(isinstance(s, WeightsSetting) and s.cache is not None for s in job.settings)
    return cells_text(weights, caches, len(job.settings)), pairs


_REFUSED = (InputError.__name__, OtherConditions.__name__)


def _would_fail_again(planned: NextRun, comparison: Comparison) -> bool:
    """Whether the same job was refused for what it asks; a missing file may be there by now."""
    failure = comparison.failure
    refused = failure is not None and failure.error in _REFUSED
    return refused and planned.job == comparison.job


def ended_line(comparison: Comparison, names: Mapping[str, str] | None = None) -> Line:
    """How a run has ended.

    Args:
        comparison: What was scored.
        names: Default keys to the user's own keys.
    """
    if comparison.phase == "finished":
        chunks = plural(comparison.planned_chunks, "chunk")
        stopping = None if comparison.report is None else comparison.report.stopping
        if stopping is not None:
            return [
                ("✓ ", "good"),
                (f"{stopped_text(stopping)}, saved as {comparison.run}", "text"),
            ]
        return [("✓ ", "good"), (f"{chunks} scored, saved as {comparison.run}", "text")]
    if comparison.phase == "stopped" and comparison.run is not None:
        of = plural(comparison.planned_chunks, "chunk")
        least, most = comparison.complete, comparison.most_chunks
        if not least and comparison.compares_weights:
            # Sets of weights take turns: no chunk is complete before the last one.
            of = f"{comparison.planned_in_all} settings × chunks"
            return [(f"stopped: {comparison.saved} of {of} scored and saved", "text")]
        # Settings differ where the user stopped the run within a chunk.
        count = f"{least}" if least == most else f"{least} to {most}"
        return [(f"stopped: {count} of {of} scored and saved", "text")]
    if comparison.phase == "stopped":
        return [("stopped before anything was scored", "text")]
    failure = comparison.failure
    if failure is None:
        return [("✗ ", "bad"), ("the scorer ended without a report", "text")]
    hint = f"; {in_app(failure.hint, names)}" if failure.hint else ""
    return [("✗ ", "bad"), (f"{failure.message}{hint}", "text")]


def stopped_text(part: StoppingPart) -> str:
    """How a run ended that stops once it is settled: how many chunks were needed."""
    of = plural(part.most_chunks, "chunk")
    if part.stopped:
        looks = f"look {part.look} of {len(part.looks)}"
        if part.look == len(part.looks):
            return f"{of} scored, settled at the last look ({looks})"
        return f"settled: {part.n_chunks} of {of} were needed ({looks})"
    names = ", ".join(short_name(found.setting) for found in part.settings if found.open)
    return f"{of} scored, {names} not settled"
