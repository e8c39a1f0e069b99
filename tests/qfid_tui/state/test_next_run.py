"""What pressing run would do, and what options can be gone through."""

from __future__ import annotations

from pathlib import Path

import pytest
from cli_saved_runs import CHUNKS, recording, report_of, save_run

from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.next_run import next_run
from qfid_tui.state.run_options import OPTIONS, possible, put, step, value_of
from qfid_tui.state.saved_comparison import open_comparison
from scorer.common.errors import InputError, QfidError
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting


def chosen(**changes: object) -> Choices:
    choices = Choices(
        model="demo", ticked=[8, 4], chunk_length=16, max_chunks=CHUNKS, corpus="wikitext2"
    )
    for name, value in changes.items():
        setattr(choices, name, value)
    return choices


def finished() -> Comparison:
    run = save_run(job={"chunks": "spread"})
    comparison = Comparison()
    comparison.begin(chosen().job())
    for event in recording(run):
        comparison.add(event)
    return comparison


def test_the_first_run_is_a_new_one() -> None:
    planned = next_run(chosen(), Comparison())
    assert (planned.kind, planned.run, planned.missing) == ("new", None, ("8", "4"))
    assert "run" not in planned.request()


def test_nothing_is_left_of_a_finished_comparison() -> None:
    assert next_run(chosen(), finished()).kind == "nothing"
    assert next_run(chosen(ticked=[8]), finished()).kind == "nothing"


def test_a_width_ticked_later_is_scored_alone_in_the_same_run() -> None:
    comparison = finished()
    planned = next_run(chosen(ticked=[8, 4, 6]), comparison)
    assert (planned.kind, planned.missing) == ("add", ("6",))
    assert planned.request()["run"] == comparison.run


def test_other_conditions_make_a_new_run() -> None:
    for changes in (
        {"max_chunks": 9},
        {"corpus": "/x.txt"},
        {"noise_floor": 2},
        {"chunks": "first"},
    ):
        assert next_run(chosen(**changes), finished()).kind == "new", changes


def test_a_stopped_run_and_a_failed_setting_go_on() -> None:
    run = save_run(finished=False, chunks=2, job={"chunks": "spread"})
    comparison = open_comparison(run.id)
    assert comparison.phase == "stopped" and comparison.complete == 2
    planned = next_run(chosen(), comparison)
    assert (planned.kind, planned.run, planned.missing) == ("go_on", run.id, ("8", "4"))
    broken = finished()
    broken.settings["4"].failure = "exact zero"
    assert next_run(chosen(), broken).missing == ("4",)


def test_a_saved_run_opens_with_the_numbers_of_its_report() -> None:
    run = save_run(job={"chunks": "spread"})
    comparison = open_comparison(run.id)
    assert comparison.phase == "finished" and comparison.run == run.id
    for row in report_of(run)["settings"]:
        figures = comparison.figures(row["setting"])
        assert figures is not None and figures.kl_mean == row["kl"]["mean"]
        assert comparison.settings[row["setting"]].kl == pytest.approx(row["kl_mean_per_chunk"])
    assert next_run(chosen(), comparison).kind == "nothing"
    assert next_run(chosen(ticked=[8, 4, 5]), comparison).kind == "add"


def test_a_run_without_a_chunk_opens_empty_and_one_that_is_not_there_is_an_error() -> None:
    run = save_run(finished=False, chunks=0)
    comparison = open_comparison(run.id)
    assert (comparison.phase, comparison.saved) == ("stopped", 0)
    with pytest.raises(QfidError):
        open_comparison("nothing")


GEOMETRY = KVGeometry((KVLayer(3, 96, 96),), 1)


@pytest.mark.parametrize("option", OPTIONS, ids=lambda option: option.field)
def test_every_option_goes_round_its_values_both_ways(option: object) -> None:
    assert option in OPTIONS
    choices = chosen(chunk_length=512)
    before = value_of(choices, option)  # type: ignore[arg-type]
    count = len(possible(option, None))  # type: ignore[arg-type]
    seen = []
    for _ in range(count):
        step(choices, option, 1, None)  # type: ignore[arg-type]
        seen.append(value_of(choices, option))  # type: ignore[arg-type]
        choices.job()
    if before in seen:
        assert len(set(seen)) == count
    step(choices, option, 1, None)  # type: ignore[arg-type]
    step(choices, option, -1, None)  # type: ignore[arg-type]
    assert value_of(choices, option) == seen[-1]  # type: ignore[arg-type]


def test_group_sizes_are_those_the_heads_allow() -> None:
    option = next(option for option in OPTIONS if option.field == "group_size")
    assert possible(option, GEOMETRY) == (32,)


def test_from_a_typed_value_a_step_goes_to_its_neighbour() -> None:
    option = next(option for option in OPTIONS if option.field == "max_chunks")
    for by, expected in ((1, 64), (-1, 32)):
        choices = chosen(max_chunks=50)
        step(choices, option, by, None)
        assert choices.max_chunks == expected


def test_typed_values_are_read_and_refused(tmp_path: Path) -> None:
    by_name = {option.field: option for option in OPTIONS}
    notes = tmp_path / "notes.md"
    notes.write_text("text")
    for field, text, value in (
        ("max_chunks", "all", None),
        ("max_chunks", "12", 12),
        ("chunk_length", "300", 300),
        ("corpus", str(notes), str(notes)),
        ("corpus", "builtin", "builtin"),
    ):
        read = by_name[field].typed
        assert read is not None and read(text) == value
    for field, text in (("max_chunks", "many"), ("corpus", "/nowhere.txt"), ("corpus", "")):
        read = by_name[field].typed
        assert read is not None
        with pytest.raises(InputError):
            read(text)


def test_a_value_that_does_not_go_with_the_others_changes_nothing() -> None:
    option = next(option for option in OPTIONS if option.field == "start")
    choices = chosen(chunk_length=64)
    with pytest.raises(InputError):
        put(choices, option, 100)
    assert choices.start == 0 and choices.offered()[0] == KVSetting(8, 8)
