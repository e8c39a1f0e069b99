"""Which keys of the workbench work now."""

from __future__ import annotations

from collections.abc import Mapping

from qfid_tui.state.workbench import WorkbenchState
from scorer.common.errors import InputError

Possible = bool | None
"""True: the key works. None: the footer shows it dimmed. False: the footer hides it."""


def possible_actions(state: WorkbenchState) -> Mapping[str, Possible]:
    """The actions that work only in some states, and whether they work now.

    Every other action of the workbench always works.
    """
    comparison, row = state.comparison, state.row
    has_numbers = row is not None and row.figures is not None
    is_earlier = row is not None and bool(row.run)
    return {
        "run": _can_run(state),
        "stop": comparison.is_active,
        "resume": state.unfinished is not None and comparison.phase == "idle",
        "back": state.enlarged or state.panel != "settings",
        "tick": state.focus == "settings",
        "detail": has_numbers,
        "inspect": has_numbers,
        "export": is_earlier or (comparison.run is not None and comparison.saved > 0),
    }


def _can_run(state: WorkbenchState) -> Possible:
    if state.comparison.is_active:
        return False
    # Where the choices make no job, the key works and says what is missing.
    if isinstance(state.planned, InputError):
        return True
    return None if state.planned.kind == "nothing" else True
