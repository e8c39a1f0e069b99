"""Several texts and lengths: which there are, whose turn it is, which runs hold them.

The choices name the text and the length whose turn it is; the lists beside them name all. Pure
standard library.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from qfid_tui.state.next_run import next_run
from qfid_tui.state.text_names import text_name
from scorer.common.errors import InputError

if TYPE_CHECKING:
    from qfid_tui.state.choices import Choices
    from qfid_tui.state.workbench import WorkbenchState

TextAtLength = tuple[str, int]
"""A text as a job names it, and the tokens of a chunk."""


def texts_of(choices: Choices) -> tuple[str, ...]:
    """The texts that are chosen; only one where the text of the turn is none of the list."""
    return choices.texts if choices.text in choices.texts else (choices.text,)


def lengths_of(choices: Choices) -> tuple[int, ...]:
    """The lengths that are chosen, likewise."""
    own = choices.chunk_length
    return choices.lengths if own in choices.lengths else (own,)


def turns(choices: Choices) -> list[TextAtLength]:
    """Every text at every length, texts first."""
    return [(text, length) for text in texts_of(choices) for length in lengths_of(choices)]


def turn(choices: Choices) -> TextAtLength:
    """The text and length whose turn it is."""
    return choices.text, choices.chunk_length


def at_turn(choices: Choices, wanted: TextAtLength) -> Choices:
    """The choices with another text and length in turn."""
    text, length = wanted
    return dataclasses.replace(choices, corpus=text, chunk_length=length)


def named(wanted: TextAtLength) -> str:
    """A text and length in words."""
    return f"{text_name(wanted[0])} × {wanted[1]}"


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


def runs_side_by_side(state: WorkbenchState) -> tuple[str, ...]:
    """The newest run of each text and length, where there are several; those of the screen too."""
    if len(turns(state.choices)) < 2:
        return ()
    by_conditions = {run.conditions: run.id for run in reversed(state.saved_here)}
    comparison = state.comparison
    if comparison.job is not None and comparison.run is not None and comparison.saved:
        by_conditions[comparison.job.conditions] = comparison.run
    found = []
    for each in turns(state.choices):
        try:
            conditions = at_turn(state.choices, each).job().conditions
        except InputError:
            continue
        if (run := by_conditions.get(conditions)) is not None:
            found.append(run)
    return tuple(found)
