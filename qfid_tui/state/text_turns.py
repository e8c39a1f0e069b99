"""Several texts and lengths: which of them lack something, and which runs hold them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfid_tui.state.next_run import next_run
from qfid_tui.state.texts import TextAtLength, at_turn, turn, turns
from scorer.common.errors import InputError

if TYPE_CHECKING:
    from qfid_tui.state.workbench import WorkbenchState


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
    """The newest run of each text and length, where there are several; those of the screen too."""
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
            run = by_conditions.get(at_turn(state.choices, each).job().conditions)
        except InputError:
            run = None
        if run is None:
            missing.append(each)
        else:
            found.append(run)
    return SideBySide(tuple(found), tuple(missing))
