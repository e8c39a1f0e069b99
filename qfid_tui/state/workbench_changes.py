"""What the user does and what workers find, as functions from one state to the next.

None of them reads a file or knows a widget. A function that has something to tell the user returns
an :class:`Outcome`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Container, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from qfid_tui.state.app_hints import error_text
from qfid_tui.state.choices import same_conditions
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import EarlierRuns
from qfid_tui.state.listed_models import ORDERS
from qfid_tui.state.next_run import NextRun, has_more_chunks
from qfid_tui.state.run_options import Option, put, step, with_legal_group
from qfid_tui.state.table_rows import TableRow
from qfid_tui.state.weights_offer import WeightsOffer
from qfid_tui.state.workbench import ChartName, Panel, StripsShown, WorkbenchState
from scorer.common.errors import InputError
from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable
from scorer.models.sizes import ModelSizes
from scorer.spec.job import Job
from scorer.spec.settings.base import Setting

Severity = Literal["information", "warning", "error"]
_CHARTS: tuple[ChartName, ...] = ("chunks", "depth")
_STRIPS: tuple[StripsShown, ...] = ("both", "KL", "flips")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The next state, and the message for the user.

    Attributes:
        state: The next state.
        notice: One sentence, or "".
        severity: How important the notice is.
    """

    state: WorkbenchState
    notice: str = ""
    severity: Severity = "information"


# What workers find


def models_found(state: WorkbenchState, found: Iterable[ModelInfo | Unscorable]) -> Outcome:
    """Add models of the cache; of two with one name the later counts."""
    known = {**state.found, **{model.name: model for model in found}}
    return _with_legal_group(state.changed(found=known))


def models_listed(state: WorkbenchState, gone: Container[str]) -> WorkbenchState:
    """Note that the cache has been read.

    Args:
        state: The state.
        gone: Names of models that it has no more.
    """
    kept = {name: model for name, model in state.found.items() if name not in gone}
    return state.changed(reading=False, found=kept)


def sizes_read(state: WorkbenchState, model: ModelInfo, sizes: ModelSizes | None) -> WorkbenchState:
    """Add what the headers of a model's weights say; None if they cannot be read."""
    return state.changed(sizes={**state.sizes, model: sizes})


def weights_read(state: WorkbenchState, offer: WeightsOffer) -> WorkbenchState:
    """Add the weights that can be compared with a model."""
    return state.changed(weights={**state.weights, offer.path: offer})


def earlier_read(state: WorkbenchState, comparison: Comparison, earlier: EarlierRuns) -> Outcome:
    """Take the earlier runs of a model, unless another model was chosen meanwhile.

    Args:
        state: The state now.
        comparison: The comparison that was on the screen when the runs were read; it is removed if
            its run was deleted.
        earlier: The runs.
    """
    if earlier.model != state.choices.model:
        return Outcome(state)
    notice = ""
    if earlier.is_deleted and comparison is state.comparison and not comparison.is_active:
        deleted = run_deleted(state)
        state, notice = deleted.state, deleted.notice
    state = state.changed(
        earlier=earlier.settings, unfinished=earlier.unfinished, saved=earlier.saved
    )
    return Outcome(state, notice, "warning")


def run_deleted(state: WorkbenchState) -> Outcome:
    """Take the comparison off the screen: the folder of its run has been deleted."""
    notice = f"Run {state.comparison.run} has been deleted: its numbers leave the screen"
    return Outcome(with_comparison(state, Comparison()), notice, "warning")


def comparison_changed(state: WorkbenchState) -> WorkbenchState:
    """Take the events into account that the comparison has received."""
    return state.changed(version=state.comparison.version)


def with_comparison(state: WorkbenchState, comparison: Comparison) -> WorkbenchState:
    """Show another comparison."""
    return state.changed(comparison=comparison, version=comparison.version)


# The choice of a model


def choose_model(state: WorkbenchState, name: str) -> Outcome:
    """Choose a model; a comparison of another model leaves the screen and stays saved."""
    found = state.found.get(name)
    if isinstance(found, Unscorable):
        remedy = f"; `{found.command}` fetches what it lacks" if found.command else ""
        return Outcome(state, f"{found.name} cannot be scored: {found.reason}{remedy}", "warning")
    if state.choices.model != name:
        if state.comparison.is_active:
            return Outcome(state, _run_goes_on(state, "choose another model"))
        choices = state.choices.for_model(name)
        state = with_comparison(state, Comparison())
        state = state.changed(choices=choices, earlier=(), unfinished=None, saved=())
    return _with_legal_group(close_filter(show_panel(state, "settings")))


def _with_legal_group(state: WorkbenchState) -> Outcome:
    geometry = None if state.model is None else state.model.geometry
    choices = with_legal_group(state.choices, geometry)
    if choices == state.choices:
        return Outcome(state)
    notice = f"Group size {choices.group_size}: the largest this model allows"
    return Outcome(state.changed(choices=choices), notice)


def _run_goes_on(state: WorkbenchState, then: str) -> str:
    stop = state.key_names.get("x", "x")
    return f"A run goes on: {stop} stops it, then {then}"


# Settings and options


def tick(state: WorkbenchState, row: TableRow) -> Outcome:
    """Tick a row, or untick it; a row without a tick box stays as it is."""
    if row.setting is None:
        return Outcome(state)
    if row.refusal:
        return Outcome(state, f"This model cannot take {row.name}: {row.refusal}", "warning")
    return _ticking(state, row.setting, not row.ticked)


def add_setting(state: WorkbenchState, setting: Setting) -> Outcome:
    """Tick a setting that was typed."""
    return _ticking(state, setting, True)


def _ticking(state: WorkbenchState, setting: Setting, ticked: bool) -> Outcome:
    """Tick a setting or untick it; say what that means for a run that goes on."""
    if not ticked and state.choices.is_paired(setting):
        pairs = state.key_names.get("p", "p")
        return Outcome(state, f"Both parts of {setting.key} are ticked: {pairs} leaves pairs out")
    next_state = state.changed(choices=state.choices.ticking(setting, ticked))
    comparison = state.comparison
    if not comparison.is_active:
        return Outcome(next_state)
    is_in_run = setting.key in comparison.settings
    if ticked and not is_in_run:
        run = state.key_names.get("r", "r")
        return Outcome(next_state, f"{setting.key} waits: when this run has ended, {run} adds it")
    if not ticked and is_in_run:
        return Outcome(next_state, f"The run that goes on scores {setting.key} all the same")
    return Outcome(next_state)


def toggle_pairs(state: WorkbenchState) -> Outcome:
    """Score every pair of weights and KV settings that are ticked, or each alone."""
    pairs = not state.choices.pairs
    said = "each with every KV setting too" if pairs else "each alone, without pairs"
    return Outcome(
        state.changed(choices=dataclasses.replace(state.choices, pairs=pairs)),
        f"Weights are scored {said}",
    )


# Where it is to run


def put_deployment(state: WorkbenchState, **values: Any) -> WorkbenchState:
    """Choose memory, context, sequences or device of the deployment; no run is changed by it."""
    return state.changed(choices=dataclasses.replace(state.choices, **values))


def remove(state: WorkbenchState, row: TableRow) -> WorkbenchState:
    """Remove a row that the user added; other rows stay."""
    if row.setting is None:
        return state
    return state.changed(choices=state.choices.without(row.setting))


def step_option(state: WorkbenchState, option: Option, by: int) -> Outcome:
    """Choose the next value of an option (``by`` 1), or the previous one (``by`` -1)."""
    geometry = None if state.model is None else state.model.geometry
    try:
        return Outcome(state.changed(choices=step(state.choices, option, by, geometry)))
    except InputError as error:
        return Outcome(state, error_text(error, state.key_names), "warning")


def put_option(state: WorkbenchState, option: Option, value: Any) -> Outcome:
    """Choose a value of an option."""
    try:
        return Outcome(state.changed(choices=put(state.choices, option, value)))
    except InputError as error:
        return Outcome(state, error_text(error, state.key_names), "warning")


# Runs


def run_comparison(state: WorkbenchState) -> tuple[NextRun, Comparison]:
    """The run that starts now, and the comparison that it belongs to.

    Returns:
        The run; the comparison on the screen, or an empty one for a new run.

    Raises:
        InputError: The choices make no job, or everything that is ticked has been scored.
    """
    planned = state.planned
    if isinstance(planned, InputError):
        raise planned
    if planned.kind == "nothing":
        add = state.key_names.get("a", "a")
        raise InputError("everything ticked is scored", f"tick another setting, or add one: {add}")
    return planned, Comparison() if planned.kind == "new" else state.comparison


def with_pinned_text(state: WorkbenchState) -> WorkbenchState:
    """The choices with a data set of the Hub at the commit that the run has read."""
    comparison, choices = state.comparison, state.choices
    report = comparison.report
    if report is None or comparison.job is None:
        return state
    corpus = report.run.job.corpus
    if corpus == comparison.job.corpus or choices.text != comparison.job.corpus.source:
        return state
    texts = tuple(corpus.source if text == choices.text else text for text in choices.texts)
    comparison.job = dataclasses.replace(comparison.job, corpus=corpus)
    return state.changed(choices=dataclasses.replace(choices, corpus=corpus.source, texts=texts))


def open_run(
    state: WorkbenchState, comparison: Comparison, *, keep_ticks: bool = False
) -> WorkbenchState:
    """Show a saved run and choose what it was scored with.

    Args:
        state: The state now.
        comparison: The run, read from its files.
        keep_ticks: Leave the choices as they are where the run can go on with them.
    """
    job = comparison.job
    assert job is not None
    choices = state.choices
    if not (keep_ticks and _goes_on_with(choices.job(), job)):
        choices = choices.of_job(job)
    return with_comparison(state.changed(choices=choices), comparison)


def _goes_on_with(job: Job, known: Job) -> bool:
    """Whether a run of the job ``known`` can go on with another one."""
    return same_conditions(job, known) or has_more_chunks(job, known)


def cannot_open(state: WorkbenchState) -> str:
    """Why no other run can be opened now; "" if one can."""
    return _run_goes_on(state, "open another one") if state.comparison.is_active else ""


# What is shown, and how


def show_panel(state: WorkbenchState, panel: Panel) -> WorkbenchState:
    """Open a panel."""
    return state.changed(panel=panel, enlarged=False)


def open_filter(state: WorkbenchState) -> WorkbenchState:
    """Open the filter of the list of models."""
    return show_panel(state, "models").changed(filtering=True)


def close_filter(state: WorkbenchState) -> WorkbenchState:
    """Close the filter and list all models."""
    return state.changed(filtering=False, filter="")


def next_order(state: WorkbenchState) -> WorkbenchState:
    """Sort the list of models in the next order."""
    index = (ORDERS.index(state.order) + 1) % len(ORDERS)
    return state.changed(order=ORDERS[index])


def back(state: WorkbenchState) -> WorkbenchState:
    """Leave the enlarged panel, else the filter, else the panel."""
    if state.enlarged:
        return state.changed(enlarged=False)
    if state.filtering:
        return close_filter(state)
    return show_panel(state, "settings")


def next_chart(state: WorkbenchState) -> WorkbenchState:
    """Show the next chart beside the scatter plot."""
    index = (_CHARTS.index(state.chart) + 1) % len(_CHARTS)
    return state.changed(chart=_CHARTS[index])


def next_strips(state: WorkbenchState) -> WorkbenchState:
    """Draw strips of KL and flips, of KL only, or of flips only."""
    index = (_STRIPS.index(state.strips) + 1) % len(_STRIPS)
    return state.changed(strips=_STRIPS[index])
