"""Which keys work in which state of the workbench."""

from __future__ import annotations

import dataclasses

import pytest
from cli_saved_runs import recording, save_run
from workbench_states import scored, workbench

from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import read_earlier
from qfid_tui.state.workbench import RowCursor, WorkbenchState
from qfid_tui.state.workbench_actions import Possible, possible_actions


def possible(state: WorkbenchState, *names: str) -> dict[str, Possible]:
    found = possible_actions(state)
    return {name: found[name] for name in names}


def finished() -> Comparison:
    run = save_run("8,4", job={"chunks": "spread"})
    comparison = Comparison()
    comparison.begin(dataclasses.replace(workbench().choices, max_chunks=4).job())
    for event in recording(run):
        comparison.add(event)
    return comparison


def test_before_a_run_one_can_run_and_neither_stop_nor_export() -> None:
    found = possible(workbench(), "run", "stop", "export", "detail", "inspect", "resume", "back")
    assert found.pop("run") is True
    assert not any(found.values())


def test_choices_that_make_no_job_can_be_run_to_learn_why() -> None:
    assert possible(WorkbenchState(Choices()), "run") == {"run": True}


def test_during_a_run_one_can_stop_and_not_run() -> None:
    comparison = scored()
    state = workbench(comparison=comparison, version=comparison.version, unfinished="a run")
    found = possible(state, "run", "stop", "export", "detail", "inspect", "resume")
    assert found == {
        "run": False,
        "stop": True,
        "export": True,
        "detail": True,
        "inspect": True,
        "resume": False,
    }
    on_16_bit = state.changed(row_cursor=RowCursor(6, ""))
    assert not possible(on_16_bit, "detail")["detail"]


def test_when_everything_ticked_is_scored_the_run_key_is_dimmed() -> None:
    comparison = finished()
    state = workbench(
        comparison=comparison,
        version=comparison.version,
        choices=dataclasses.replace(workbench().choices, max_chunks=4),
    )
    assert possible(state, "run") == {"run": None}
    more = dataclasses.replace(state.choices, ticked=(8, 4, 6))
    assert possible(state.changed(choices=more), "run") == {"run": True}


def test_an_unfinished_run_is_opened_only_while_the_table_is_empty() -> None:
    assert possible(workbench(unfinished="a run"), "resume") == {"resume": True}
    comparison = finished()
    assert not possible(workbench(unfinished="a run", comparison=comparison), "resume")["resume"]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({"enlarged": True}, True), ({"panel": "models"}, True), ({"panel": "settings"}, False)],
)
def test_one_goes_back_from_an_enlarged_or_an_open_panel(
    changes: dict[str, object], expected: bool
) -> None:
    assert possible(workbench(**changes), "back") == {"back": expected}


def test_only_the_focused_table_is_ticked() -> None:
    assert possible(workbench(focus="settings"), "tick") == {"tick": True}
    assert possible(workbench(focus="options"), "tick") == {"tick": False}


def test_an_earlier_run_under_the_cursor_is_opened_and_exported() -> None:
    run = save_run("8", job={"chunks": "spread"})
    earlier = read_earlier("demo", None, is_saved=False).settings
    state = workbench(earlier=earlier, row_cursor=RowCursor(0, "8", run.id))
    assert all(possible(state, "detail", "inspect", "export").values())
