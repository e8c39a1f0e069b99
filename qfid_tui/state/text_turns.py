"""Several texts and lengths: which of them lack something, and which runs hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfid_tui.state.next_run import has_more_chunks, next_run
from qfid_tui.state.texts import TextAtLength, at_turn, turn, turns
from scorer.common.errors import InputError

if TYPE_CHECKING:
    from qfid_tui.state.workbench import WorkbenchState
    from scorer.spec.job import Job


def open_turns(state: WorkbenchState) -> list[TextAtLength]:
    """The texts and lengths that lack something of what is ticked, from the present turn on."""
    listed = turns(state.choices)
    start = listed.index(turn(state.choices))
    return [each for each in (*listed[start:], *listed[:start]) if not _is_scored(state, each)]


def _is_scored(state: WorkbenchState, wanted: TextAtLength) -> bool:
    choices = at_turn(state.choices, wanted)
    geometry = None if state.model is None else state.model.geometry
    try:
        planned = next_run(choices, state.comparison, state.saved_here, geometry)
    except InputError:
        # What the choices lack is said when it is its turn.
        return False
    return planned.kind == "nothing" or (planned.kind == "reopen" and not planned.missing)


@dataclass(frozen=True, slots=True)
class SideBySide:
    """Runs of several texts and lengths.

    Attributes:
        runs: Ids of the runs, in the order of the choices.
        missing: Texts and lengths that have no run.
    """

    runs: tuple[str, ...] = ()
    missing: tuple[TextAtLength, ...] = ()


def runs_side_by_side(state: WorkbenchState) -> SideBySide:
    """The newest run of each text and length, where there are several; those of the screen too.

    A run that lacks chunks only, as where some were added to another text's, stands for its text.
    """
    if len(turns(state.choices)) < 2:
        return SideBySide()
    by_conditions = {run.conditions: run.id for run in reversed(state.saved_here)}
    comparison = state.comparison
    if comparison.job is not None and comparison.run is not None and comparison.saved:
        by_conditions[comparison.job.conditions] = comparison.run
    found: list[str] = []
    missing: list[TextAtLength] = []
    for each in turns(state.choices):
        try:
            job = at_turn(state.choices, each).job()
            run = by_conditions.get(job.conditions) or _of_fewer_chunks(state, job)
        except InputError:
            run = None
        if run is None:
            missing.append(each)
        else:
            found.append(run)
    return SideBySide(tuple(found), tuple(missing))


def _of_fewer_chunks(state: WorkbenchState, job: Job) -> str | None:
    """The newest run of a job that has fewer chunks; None where there is none."""
    comparison = state.comparison
    jobs = [(run.id, run.job) for run in state.saved_here]
    if comparison.run is not None and comparison.saved:
        jobs.insert(0, (comparison.run, comparison.job))
    fewer = (run for run, own in jobs if own is not None and has_more_chunks(job, own))
    return next(fewer, None)
