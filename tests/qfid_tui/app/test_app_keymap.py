"""Keys of the user's own, from the settings file."""

from __future__ import annotations

from pathlib import Path

from app_pilot import demo_choices, piloted, running, screen_text, until
from cli_saved_runs import script

from qfid_tui.app.actions import help_keys, screen_actions
from qfid_tui.app.binding_ids import binding_ids
from qfid_tui.app.own_keys import names_of, own_keys, unknown_keys
from qfid_tui.app.screens.workbench import WorkbenchScreen
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.state.choices import Choices
from qfid_tui.state.kept_choices import choices_file, load_choices, save_choices


@piloted
async def test_a_key_of_the_user_s_own_takes_the_place_of_ours(tmp_path: Path) -> None:
    file = script(tmp_path / "s", "!exit 7")
    choices = demo_choices(keys={"workbench.run": "f5", "rows.down": "ctrl+n"})
    async with running(choices, script=file) as (app, pilot):
        bar = app.workbench.query_one(KeyBar)
        await until(pilot, lambda: ("f5", "run") in [item[1:3] for item in bar.shown()], "footer")
        await pilot.press("ctrl+n")
        assert app.workbench.table.cursor == 1
        await pilot.press("r")
        assert app.comparison.phase == "idle"
        await pilot.press("f5")
        await until(pilot, lambda: type(app.screen).__name__ == "FaultScreen", "a run that failed")
        assert "f5" in [keys for keys, _, _ in help_keys(app.workbench)]


def test_the_key_that_runs_goes_on_after_a_fault() -> None:
    assert own_keys({"workbench.run": "f5"}, ()) == (
        {"workbench.run": "f5", "fault.resume": "f5"},
        [],
    )


def test_two_keys_can_change_places() -> None:
    wanted = {"workbench.run": "a", "workbench.add": "r"}
    found, refused = own_keys(wanted, WorkbenchScreen.BINDINGS)
    assert found == {**wanted, "fault.resume": "a"} and not refused


@piloted
async def test_an_action_never_loses_its_key_to_another_and_the_user_is_told() -> None:
    async with running(demo_choices(keys={"workbench.run": "a"}), size=(140, 45)) as (app, pilot):
        await until(pilot, lambda: "is that of" in screen_text(app), "the reason")
        titles = {action.title for action in screen_actions(app.workbench)}
        assert {"Add", "Run"} <= titles


def test_keys_are_kept_and_nonsense_is_not_taken() -> None:
    assert save_choices(Choices(keys={"workbench.run": "f5"}))
    assert load_choices().keys == {"workbench.run": "f5"}
    for nonsense in ('{"keys": ["r"]}', '{"keys": {"workbench.run": 7}}', '{"keys": {"a": " "}}'):
        choices_file().write_text(nonsense)
        assert load_choices().keys == {}


@piloted
async def test_sentences_name_the_user_s_own_keys(tmp_path: Path) -> None:
    choices = demo_choices(keys={"workbench.run": "f5", "workbench.models": "f2,m"})
    async with running(choices, script=script(tmp_path / "s", "!hang")) as (app, pilot):
        await until(pilot, lambda: "f5 runs" in screen_text(app), "the key that runs")
        names = app.workbench.state.key_names
        assert (names["r"], names["m"]) == ("f5", "f2") and "x" not in names
        await pilot.press("m")
        await until(pilot, lambda: "f5 runs it" in screen_text(app), "what models say")


def test_a_key_is_named_as_the_footer_shows_it() -> None:
    found = names_of({"workbench.help": "f1"}, WorkbenchScreen.BINDINGS, {"f1": "F1"}.get)  # type: ignore[arg-type]
    assert list(found.values()) == ["F1"]


def test_an_id_that_no_action_has_is_named_with_the_nearest() -> None:
    known = binding_ids()
    assert {"workbench.run", "fault.resume"} <= known
    assert unknown_keys({"workbench.run": "f5"}, known) == []
    (near,) = unknown_keys({"workbench.rum": "f5"}, known)
    assert near == (
        "app.json gives keys for `workbench.rum`, which is no action; did you mean `workbench.run`?"
    )


@piloted
async def test_what_of_the_file_cannot_be_used_is_said_at_the_start() -> None:
    choices_file().parent.mkdir(parents=True, exist_ok=True)
    choices_file().write_text('{"model": "demo",}')
    async with running(keep=True) as (app, pilot):
        await until(pilot, lambda: "app.json is no JSON" in screen_text(app), "the notice")
        app.keep_choices()
    assert choices_file().read_text() == '{"model": "demo",}'
