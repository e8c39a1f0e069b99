"""The state of the workbench: what follows from it, and that a change keeps what stays valid."""

from __future__ import annotations

import dataclasses

import pytest
from cli_saved_runs import chunk_scored, save_run
from workbench_states import DEMO, scored, workbench

from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import read_earlier
from qfid_tui.state.model_reading import read_sizes
from qfid_tui.state.next_run import NextRun
from qfid_tui.state.workbench import (
    RowCursor,
    WorkbenchState,
    exported_run,
    exported_title,
    run_so_far,
    shown_run,
)
from scorer.common.errors import InputError
from scorer.models.info import ModelInfo
from scorer.spec.events import Hello
from scorer.spec.geometry import KVGeometry, KVLayer

DEVICE = Hello("cpu", "Test CPU", 16 << 30, 8 << 30, "MKL", {})


def test_it_cannot_be_changed_in_place() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        workbench().panel = "models"  # type: ignore[misc]


def test_a_change_to_the_same_values_is_the_same_state() -> None:
    state = workbench()
    assert state.changed(panel="settings", choices=dataclasses.replace(state.choices)) is state
    assert state.changed(panel="models").changed(panel="settings") == state


def test_a_step_of_a_cursor_computes_no_row_and_other_changes_do() -> None:
    state = workbench()
    rows, planned = state.rows, state.planned
    moved = state.changed(row_cursor=RowCursor(2, "5"), focus="settings", strips="flips")
    assert moved.rows is rows and moved.planned is planned
    assert moved.row is rows[2]
    choices = dataclasses.replace(state.choices, group_size=32)
    for changes in (
        {"choices": choices},
        {"version": 7},
        {"comparison": Comparison()},
        {"found": {}},
    ):
        assert state.changed(**changes).rows is not rows, changes
    assert state.changed(earlier=()).rows is rows


def test_what_was_computed_never_differs_from_what_would_be() -> None:
    other = dataclasses.replace(DEMO, name="org/other")
    changes = [
        {"choices": dataclasses.replace(workbench().choices, model=None)},
        {"found": {"demo": DEMO, "org/other": other}},
        {"model_cursor": "org/other"},
        {"sizes": {other: read_sizes(other), DEMO: read_sizes(DEMO)}},
        {"probed": DEVICE},
        {"probed": dataclasses.replace(DEVICE, memory_free=1 << 20)},
        {"choices": workbench().choices},
        {"comparison": scored(), "version": 1},
        {"version": 2, "row_cursor": RowCursor(1, "6")},
    ]
    state = workbench()
    for change in changes:
        assert (state.rows, state.planned, state.fit) is not None
        state = state.changed(**change)
        fresh = dataclasses.replace(state)
        assert (state.rows, state.fit) == (fresh.rows, fresh.fit)
        assert type(state.planned) is type(fresh.planned)
        assert isinstance(state.planned, InputError) or state.planned == fresh.planned


def test_costs_are_those_of_the_highlighted_model_until_one_is_chosen() -> None:
    state = WorkbenchState(Choices(), found={"demo": DEMO})
    assert state.shown_model is None and state.rows[0].cost is None
    state = state.changed(model_cursor="demo")
    assert state.highlighted == state.shown_model == DEMO and state.model is None
    assert state.rows[0].cost is not None
    assert workbench(model_cursor=None).shown_model == DEMO
    assert isinstance(DEMO, ModelInfo) and workbench().scorable_models == 1


def test_while_one_looks_for_another_model_its_costs_are_shown_and_nothing_else() -> None:
    other = dataclasses.replace(
        DEMO, name="org/other", geometry=KVGeometry((KVLayer(4, 96, 96),) * 3, 3)
    )
    state = workbench(found={"demo": DEMO, "org/other": other}, model_cursor="org/other")
    comparison = scored()
    comparison.end(by_user=True)
    own = state.changed(comparison=comparison, version=9)
    assert own.highlighted is None and own.has_numbers
    looking = own.changed(focus="models")
    assert looking.highlighted == looking.shown_model == other and looking.model == DEMO
    assert not looking.has_numbers and looking.rows[0].cost != own.rows[0].cost
    # Groups of 64 do not divide 96 elements: the costs are those of what the model would get.
    assert looking.rows[0].name == "8:32" and not looking.rows[0].refusal
    assert looking.changed(model_cursor="demo").rows == own.rows
    assert looking.changed(focus="settings").rows == own.rows
    # During a run the numbers stay.
    comparison.phase = "scoring"
    assert looking.highlighted is None
    assert looking.changed(focus="filter", version=10).has_numbers


def test_the_fit_is_known_once_the_device_and_the_sizes_are() -> None:
    state = workbench()
    assert state.fit is None
    assert state.changed(probed=DEVICE).fit is None
    known = state.changed(probed=DEVICE, sizes={DEMO: read_sizes(DEMO)})
    assert known.fit is not None and known.fit.fits
    unreadable = state.changed(probed=DEVICE, sizes={DEMO: None})
    assert unreadable.fit is None


def test_the_device_of_the_run_is_nearer_than_that_of_the_probe() -> None:
    probed = dataclasses.replace(DEVICE, device_name="probed")
    state = workbench(probed=probed)
    assert state.device == probed
    comparison = scored()
    assert state.changed(comparison=comparison).device == comparison.machine


def test_a_cursor_stays_on_its_setting_when_rows_come_and_go() -> None:
    rows = workbench().rows
    names = [row.name for row in rows]
    cursor = RowCursor(names.index("4"), "4")
    assert rows[cursor.find(rows)].name == "4"
    assert cursor.find(rows[1:]) == names.index("4") - 1
    # A row that is gone leaves the cursor where it is, or on the last row.
    gone = RowCursor(2, "k8v4")
    assert gone.find(rows) == 2 and gone.find(rows[:1]) == 0 and gone.find([]) == 0
    assert RowCursor(0, "4", run="another").find(rows) == 0


def test_an_error_of_the_choices_is_what_is_planned() -> None:
    assert isinstance(WorkbenchState(Choices()).planned, InputError)
    planned = workbench().planned
    assert isinstance(planned, NextRun) and planned.missing == ("8", "4")


def test_detail_opens_the_row_with_the_cursor_or_the_first_that_has_numbers() -> None:
    assert shown_run(workbench()) is None and exported_run(workbench()) is None
    comparison = scored()
    state = workbench(comparison=comparison, version=1, row_cursor=RowCursor(3, "4"))
    shown = shown_run(state)
    assert shown is not None and comparison.run is not None
    assert (shown.run, shown.setting, shown.settings) == (comparison.run, "8", ("8",))
    assert exported_run(state) == comparison.run
    assert exported_title(state) == "demo, 8, 4"


def test_detail_of_an_earlier_run_has_the_settings_of_that_run() -> None:
    run = save_run("8,4", job={"chunks": "spread"})
    earlier = read_earlier("demo", None, is_saved=False)
    state = workbench(earlier=earlier.settings)
    cursor = RowCursor(0, "4", run.id)
    state = state.changed(row_cursor=cursor)
    shown = shown_run(state)
    assert shown is not None and (shown.run, shown.setting) == (run.id, "4")
    assert set(shown.settings) == {"8", "4"} and exported_run(state) == run.id
    assert exported_title(state).startswith("demo, the earlier run of 4, ")


def test_settings_of_a_run_come_in_the_order_of_the_table() -> None:
    comparison = scored()
    comparison.add(chunk_scored("4", 0, 0.2))
    assert list(comparison.settings) == ["8", "4"]
    comparison.settings = dict(reversed(comparison.settings.items()))
    state = workbench(comparison=comparison, version=1)
    shown = shown_run(state)
    assert shown is not None and shown.settings == ("8", "4")
    assert [row.name for row in state.rows if row.figures] == ["8", "4"]


def test_only_a_run_that_goes_on_is_followed() -> None:
    comparison = scored(3)
    state = workbench(comparison=comparison, version=1)
    assert comparison.run is not None
    so_far = run_so_far(state, comparison.run)
    assert so_far is not None
    assert (so_far.chunks["8"], so_far.chunks["4"], so_far.planned) == (3, 0, 4)
    assert so_far.settings == ("8",)
    assert run_so_far(state, "another") is None
    comparison.end(by_user=True)
    assert run_so_far(state, comparison.run) is None
