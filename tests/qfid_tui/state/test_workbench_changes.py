"""What the user does and what workers find, as functions on the state of the workbench."""

from __future__ import annotations

import dataclasses

import pytest
from cli_saved_runs import save_run
from workbench_states import DEMO, scored, workbench

from qfid_tui.state import workbench_changes as changes
from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.earlier_runs import EarlierRuns, read_earlier
from qfid_tui.state.run_options import OPTIONS
from qfid_tui.state.saved_comparison import open_comparison
from qfid_tui.state.workbench import WorkbenchState
from scorer.common.errors import InputError
from scorer.models.listing import Unscorable
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting

OTHER = dataclasses.replace(DEMO, name="org/other", geometry=KVGeometry((KVLayer(3, 96, 96),), 1))
BROKEN = Unscorable("org/broken", "no weights", 1)


def several() -> WorkbenchState:
    return changes.models_found(workbench(), [OTHER, BROKEN]).state


def test_models_are_added_and_the_later_of_one_name_counts() -> None:
    state = several()
    assert set(state.found) == {"demo", "org/other", "org/broken"}
    newer = dataclasses.replace(OTHER, size_bytes=7)
    assert changes.models_found(state, [newer]).state.found["org/other"] == newer
    assert state.found["org/other"] == OTHER


def test_choosing_a_model_clears_the_table_and_fits_the_group_size() -> None:
    comparison = scored()
    comparison.end(by_user=True)
    state = changes.with_comparison(several(), comparison)
    state = changes.open_filter(state.changed(unfinished="a run"))
    outcome = changes.choose_model(state, "org/other")
    chosen = outcome.state
    assert chosen.choices.model == "org/other" and chosen.choices.group_size == 32
    assert "Group size 32" in outcome.notice
    assert chosen.comparison.phase == "idle" and chosen.unfinished is None
    assert (chosen.panel, chosen.filtering) == ("settings", False)
    # The state before is as it was.
    assert state.comparison is comparison and state.choices.group_size == 64


def test_choosing_the_chosen_model_again_keeps_the_comparison() -> None:
    state = changes.with_comparison(several(), scored())
    assert changes.choose_model(state, "demo").state == state


def test_during_a_run_no_other_model_is_chosen() -> None:
    state = changes.with_comparison(several(), scored()).changed(key_names={"x": "f9"})
    outcome = changes.choose_model(state, "org/other")
    assert outcome.state is state and "f9 stops it" in outcome.notice
    assert "f9 stops it" in changes.cannot_open(state)
    assert changes.cannot_open(several()) == ""


def test_a_model_that_cannot_be_scored_says_why() -> None:
    state = several()
    outcome = changes.choose_model(state, "org/broken")
    assert outcome.state is state and outcome.severity == "warning"
    assert outcome.notice == "org/broken cannot be scored: no weights"


def test_earlier_runs_of_another_model_are_ignored() -> None:
    state = workbench()
    other = EarlierRuns("org/other", unfinished="a run")
    assert changes.earlier_read(state, state.comparison, other).state is state
    mine = changes.earlier_read(state, state.comparison, EarlierRuns("demo", unfinished="a run"))
    assert mine.state.unfinished == "a run" and not mine.notice


def test_a_deleted_run_leaves_the_screen_unless_it_goes_on_or_another_has_come() -> None:
    deleted = EarlierRuns("demo", is_deleted=True)
    comparison = scored()
    state = changes.with_comparison(workbench(), comparison)
    assert changes.earlier_read(state, comparison, deleted).state.comparison is comparison
    comparison.end(by_user=True)
    other = changes.earlier_read(state, Comparison(), deleted)
    assert other.state.comparison is comparison and not other.notice
    gone = changes.earlier_read(state, comparison, deleted)
    assert gone.state.comparison.phase == "idle"
    assert "has been deleted: its numbers leave the screen" in gone.notice


def test_earlier_runs_are_read_with_what_is_unfinished_and_what_is_gone() -> None:
    run = save_run("8,4", finished=False, chunks=2, job={"chunks": "spread"})
    found = read_earlier("demo", None, is_saved=False)
    assert (found.model, found.unfinished, found.is_deleted) == ("demo", run.id, False)
    assert not read_earlier("demo", run.id, is_saved=True).is_deleted
    run.delete()
    assert read_earlier("demo", run.id, is_saved=True).is_deleted
    # A run that has not been saved yet has no folder and is not deleted.
    assert not read_earlier("demo", run.id, is_saved=False).is_deleted
    assert read_earlier(None, run.id, is_saved=True) == EarlierRuns(None, is_deleted=True)


def test_ticks_of_rows() -> None:
    state = workbench()
    rows = {row.name: row for row in state.rows}
    assert changes.tick(state, rows["6"]).state.choices.is_ticked(KVSetting(6, 6))
    assert not changes.tick(state, rows["8"]).state.choices.is_ticked(KVSetting(8, 8))
    assert changes.tick(state, rows[""]).state is state
    added = changes.add_setting(state, KVSetting.parse("k8v4")).state
    row = next(row for row in added.rows if row.name == "k8v4")
    assert row.ticked and changes.remove(added, row).choices == state.choices
    assert changes.remove(state, rows["8"]) is state and changes.remove(state, rows[""]) is state


def test_ticking_during_a_run_says_what_becomes_of_it() -> None:
    comparison = Comparison()
    comparison.begin(workbench().choices.job())
    state = changes.with_comparison(workbench(), comparison)
    rows = {row.name: row for row in state.rows}
    assert changes.tick(state, rows["6"]).notice.startswith("6 waits")
    assert "all the same" in changes.tick(state, rows["8"]).notice
    assert changes.tick(workbench(), rows["6"]).notice == ""


def test_an_option_that_contradicts_another_changes_nothing_and_says_so() -> None:
    option = next(option for option in OPTIONS if option.field == "start")
    state = workbench()
    outcome = changes.put_option(state, option, 100)
    assert outcome.state is state and "start 100" in outcome.notice
    stepped = changes.step_option(state, option, 1)
    assert stepped.state is state and stepped.severity == "warning"
    count = next(option for option in OPTIONS if option.field == "max_chunks")
    assert changes.step_option(state, count, 1).state.choices.max_chunks == 64
    assert changes.put_option(state, count, 5).state.choices.max_chunks == 5


def test_what_runs_next_and_in_which_comparison() -> None:
    state = workbench()
    planned, comparison = changes.run_comparison(state)
    assert planned.kind == "new" and comparison is not state.comparison
    with pytest.raises(InputError, match="no model"):
        changes.run_comparison(WorkbenchState(Choices()))
    run = save_run("8,4", finished=False, chunks=2, job={"chunks": "spread"})
    opened = changes.open_run(state, open_comparison(run.id))
    assert opened.choices.max_chunks == opened.comparison.planned_chunks
    planned, comparison = changes.run_comparison(opened)
    assert planned.kind == "go_on" and comparison is opened.comparison
    whole = changes.open_run(state, open_comparison(save_run("8,4").id))
    with pytest.raises(InputError, match="everything ticked") as caught:
        changes.run_comparison(whole.changed(key_names={"a": "f3"}))
    assert caught.value.hint.endswith("f3")


def test_back_leaves_one_thing_at_a_time() -> None:
    state = changes.open_filter(workbench()).changed(enlarged=True, filter="de")
    for left in ({"enlarged": False}, {"filtering": False, "filter": ""}, {"panel": "settings"}):
        state, before = changes.back(state), state
        assert state == before.changed(**left)
    assert changes.back(state) is state


def test_charts_take_turns() -> None:
    state = workbench()
    assert changes.next_chart(state).chart == "depth"
    assert changes.next_chart(changes.next_chart(state)) == state


def test_news_of_the_comparison_make_a_new_state() -> None:
    state = changes.with_comparison(workbench(), scored())
    assert changes.comparison_changed(state) is state
    state.comparison.stop()
    news = changes.comparison_changed(state)
    assert news is not state and news.rows is not state.rows
