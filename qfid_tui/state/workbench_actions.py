"""Which keys of the workbench work now."""

from __future__ import annotations

from collections.abc import Mapping

from qfid_tui.state.more_chunks import more_chunks
from qfid_tui.state.texts import turns
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
        "more_chunks": more_chunks(state) is not None,
        "resume": state.unfinished is not None and comparison.phase == "idle",
        "back": state.enlarged or state.panel != "settings",
        "tick": state.focus == "settings",
        "sort": state.focus == "models",
        "grid": state.choices.model is not None and state.highlighted is None,
        "detail": has_numbers,
        "inspect": has_numbers,
        "joined": len(turns(state.choices)) > 1,
        "export": is_earlier or (comparison.run is not None and comparison.saved > 0),
    }


def _can_run(state: WorkbenchState) -> Possible:
    if state.comparison.is_active:
        return False
    if len(turns(state.choices)) > 1:
        return True
    # Where the choices make no job, the key works and says what is missing.
    if isinstance(state.planned, InputError):
        return True
    return None if state.planned.kind == "nothing" else True


def why_not(state: WorkbenchState, action: str) -> str:
    """Why the key of an action does nothing now, and what to do first; "" where that is plain."""
    names = state.key_names
    run, stop, tick, settings = (names.get(key, key) for key in ("r", "x", "space", "s"))
    if action == "run":
        if state.comparison.is_active:
            return f"A run goes on: {stop} stops it"
        return f"Everything ticked is scored: {tick} ticks another setting"
    if action == "stop":
        return f"Nothing runs: {run} starts a run"
    if action == "more_chunks":
        if state.comparison.is_active:
            return f"A run goes on: {stop} stops it, then add chunks"
        if not state.comparison.saved:
            return f"Nothing is scored that chunks could be added to: {run} starts a run"
        job = state.comparison.job
        if job is not None and job.until_settled:
            return "The run stops once it is settled: its looks belong to its own chunks"
        return "Every chunk of the text is in this run"
    if action == "resume":
        if state.comparison.is_active:
            return f"A run goes on: {stop} stops it, then open another one"
        return "No run of this model is unfinished"
    if action == "tick":
        return f"Settings are ticked in their table: {settings} goes there"
    if action == "sort":
        models = names.get("m", "m")
        return f"Models are sorted in their list: {models} goes there"
    if action == "joined":
        options = names.get("o", "o")
        return f"Several texts or lengths are set side by side: {options} takes a list of them"
    if action == "grid":
        if state.choices.model is None:
            return "Choose a model first"
        return "The grid is about the chosen model: enter takes the one with the cursor"
    if action in ("detail", "inspect"):
        return no_numbers(state)
    if action == "export":
        return f"Nothing is scored that could be exported: {run} starts a run"
    return ""


def no_numbers(state: WorkbenchState) -> str:
    """Why the row with the cursor has nothing to open."""
    row = state.row
    if row is None or (row.setting is None and not row.run):
        return "16 bit is the reference: it has no numbers of its own"
    if row.failure is not None:
        return f"{row.name} failed: it has no numbers"
    if state.comparison.is_active:
        return f"{row.name} has no numbers yet"
    tick, run = (state.key_names.get(key, key) for key in ("space", "r"))
    todo = f"{run} runs" if row.ticked else f"{tick} ticks it, {run} runs"
    return f"{row.name} has no numbers yet: {todo}"
