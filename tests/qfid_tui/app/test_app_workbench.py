"""Each thing the user can do in the workbench, without a scorer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from app_pilot import (
    SIZES,
    choose,
    demo_choices,
    fake_command,
    piloted,
    running,
    screen_text,
    show_news,
    until,
)
from cli_saved_runs import opening, save_run, script
from textual.widgets import Input

from qfid_tui.app.app import QfidApp
from qfid_tui.app.screens.prompt import PromptScreen
from qfid_tui.state.choices import Choices
from qfid_tui.state.kept_choices import load_choices
from scorer.spec.events import Hello


def ticked(app: QfidApp) -> list[str]:
    return [str(setting) for setting in app.choices.ticked_settings()]


@piloted
async def test_at_first_the_models_have_the_focus_and_the_demo_is_there() -> None:
    async with running() as (app, pilot):
        assert app.focused is app.workbench.picker
        assert "demo (built in)" in screen_text(app)
        await pilot.press("enter")
        assert app.choices.model == "demo"
        assert app.focused is app.workbench.table
        text = screen_text(app)
        assert "1 360" in text and "10.6 MiB" in text and "170 MiB" in text


@piloted
async def test_with_a_model_the_settings_have_the_focus() -> None:
    async with running(demo_choices()) as (app, _):
        assert app.focused is app.workbench.table


@piloted
async def test_space_ticks_and_arrows_and_hjkl_move() -> None:
    async with running(demo_choices()) as (app, pilot):
        await pilot.press("down", "space")
        assert ticked(app) == ["8", "6", "4"]
        await pilot.press("j", "k", "k", "space")
        assert ticked(app) == ["6", "4"]
        await pilot.press("home", *("down",) * 6)
        assert app.workbench.table.row.name == ""
        await pilot.press("space")
        assert ticked(app) == ["6", "4"]


@piloted
async def test_the_mouse_ticks_moves_and_chooses() -> None:
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        await pilot.click("#settings", offset=(20, 3))
        assert app.workbench.table.row.name == "6"
        await pilot.click("#settings", offset=(4, 3))
        assert ticked(app) == ["8", "6", "4"]
        await pilot.click("#options", offset=(20, 1))
        assert app.workbench.focused.id == "options"


@piloted
async def test_a_key_of_the_footer_can_be_clicked() -> None:
    async with running(demo_choices()) as (app, pilot):
        keys = app.workbench.query_one("#keys")
        x = next(x for x, _, verb, _ in keys.shown() if verb == "tick")
        await pilot.click("#keys", offset=(x, 0))
        assert ticked(app) == ["4"]


@piloted
async def test_the_filter_leaves_what_matches_and_escape_clears_it() -> None:
    async with running() as (app, pilot):
        await pilot.press("slash", *"zzz")
        assert app.workbench.picker.row_count() == 0
        assert "no model matches" in screen_text(app)
        await pilot.press("escape")
        assert app.workbench.picker.row_count() == 1
        assert app.focused is app.workbench.picker
        await pilot.press("slash", *"dem", "enter")
        assert app.choices.model == "demo" and app.focused is app.workbench.table


@piloted
async def test_options_change_by_arrows_and_by_typing() -> None:
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        await pilot.press("o", "down", "right")
        assert app.choices.key_bits == 8
        assert "k8v4" in screen_text(app)
        await pilot.press("h", *["down"] * 6)
        assert app.workbench.body.options.option.field == "max_chunks"
        await pilot.press("enter")
        assert isinstance(app.screen, PromptScreen)
        field = app.screen.query_one(Input)
        field.value = "many"
        await pilot.press("enter")
        assert isinstance(app.screen, PromptScreen) and "not a whole number" in screen_text(app)
        field.value = "12"
        await pilot.press("enter")
        assert app.choices.max_chunks == 12 and app.screen is app.workbench
        await pilot.press("escape")
        assert app.focused is app.workbench.table


@piloted
async def test_a_setting_is_added_by_its_notation_and_taken_away() -> None:
    async with running(demo_choices()) as (app, pilot):
        await pilot.press("a", *"k8v4", "enter")
        assert ticked(app) == ["8", "4", "k8v4"]
        await pilot.press("a", *"7", "enter")
        assert isinstance(app.screen, PromptScreen) and "✗" in screen_text(app)
        await pilot.press("escape")
        table = app.workbench.table
        table.move_to(next(i for i, row in enumerate(table.rows) if row.name == "k8v4"))
        await pilot.press("delete")
        assert ticked(app) == ["8", "4"]


@piloted
async def test_panels_are_enlarged_and_given_back() -> None:
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        small = app.workbench.table.size
        assert app.focused is app.workbench.table
        await pilot.press("z")
        assert app.workbench.maximized is app.workbench.table
        await until(pilot, lambda: app.workbench.table.outer_size.height == 43, "enlarged")
        assert app.workbench.table.size.width > small.width
        lines = screen_text(app).splitlines()
        assert "qfid" in lines[0] and "^p all" in lines[-1]
        await pilot.press("escape")
        assert app.workbench.maximized is None
        assert app.workbench.table.size == small


@piloted
async def test_strips_show_kl_or_flips_on_one_scale_or_their_own() -> None:
    save_run("8,4")
    run = save_run("8,4", job={"chunks": "spread"})
    async with running(demo_choices()) as (app, pilot):
        app.workbench.commands.open_run(run.id)
        await until(pilot, lambda: app.comparison.run == run.id)
        table = app.workbench.table
        own = table.strips.has_own_scales
        assert "KL a chunk" in table.border_subtitle and "flips a chunk" in table.border_subtitle
        assert "%" in table.border_subtitle
        before = screen_text(app)
        await pilot.press("w")
        assert table.strips.has_own_scales is not own and screen_text(app) != before
        assert ("a scale per row" in table.border_subtitle) is not own
        await pilot.press("f")
        assert "flips a chunk" not in table.border_subtitle
        await pilot.press("f")
        assert "KL a chunk" not in table.border_subtitle
        await pilot.press("f")
        assert table.strips.shown == "both"


@piloted
async def test_the_other_chart_of_a_low_screen_is_a_key_away() -> None:
    async with running(demo_choices()) as (app, pilot):
        charts = {name: app.workbench.query_one(f"#{name}") for name in ("chunks", "depth")}
        assert charts["chunks"].display and not charts["depth"].display
        await pilot.press("c")
        assert charts["depth"].display and not charts["chunks"].display


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("model", [None, "demo"])
@piloted
async def test_the_footer_shows_what_can_be_pressed_and_fits(
    size: tuple[int, int], model: str | None
) -> None:
    async with running(Choices(model=model), size=size) as (app, _):
        keys = app.workbench.query_one("#keys")
        shown = keys.shown()
        assert shown[0][1] == "?" and shown[-1][2] == "all"
        verbs = [verb for _, _, verb, _ in shown]
        assert "quit" in verbs and "stop" not in verbs and "export" not in verbs
        assert all(x + len(f"{key} {verb}") <= size[0] for x, key, verb, _ in shown)
        line = screen_text(app).splitlines()[-1]
        assert all(f"{key} {verb}" in line for _, key, verb, _ in shown)


@piloted
async def test_every_width_and_height_is_survived() -> None:
    async with running(demo_choices()) as (app, pilot):
        for size in ((1, 1), (20, 5), (200, 60), (79, 23), (109, 35), (110, 36), (80, 24)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
        await until(pilot, lambda: app.workbench.has_class("-narrow", "-short"), "the small layout")
        await pilot.resize_terminal(140, 45)
        await until(pilot, lambda: app.workbench.has_class("-wide", "-tall"), "the large layout")


@piloted
async def test_running_without_a_tick_says_what_to_do() -> None:
    async with running(demo_choices(ticked=())) as (app, pilot):
        await pilot.press("r")
        assert not app.comparison.is_active
        assert "no setting is ticked" in screen_text(app)


@piloted
async def test_with_an_empty_cache_one_key_runs_the_demo(tmp_path: Path) -> None:
    file = script(tmp_path / "s", opening(), "!wait", "!exit 130")
    async with running(script=file) as (app, pilot):
        text = screen_text(app)
        assert "r runs it" in text and "`qfid pull org/name`" in text
        assert "1 360" in text, "costs of the model under the cursor"
        await pilot.press("r")
        await until(pilot, lambda: app.comparison.machine is not None, "a run")
        assert app.choices.model == "demo" and app.focused is app.workbench.table
        await pilot.press("x")
        await until(pilot, lambda: not app.comparison.is_active, "stopped")


@piloted
async def test_choices_are_kept_when_the_app_is_left() -> None:
    async with running(demo_choices(), keep=True) as (app, pilot):
        app.theme = "textual-light"
        await pilot.press("down", "space", "q")
        await until(pilot, lambda: not app.is_running)
    kept = load_choices()
    assert (kept.model, kept.theme, sorted(kept.ticked)) == ("demo", "textual-light", [4, 6, 8])
    async with running(kept) as (app, _):
        assert app.theme == "textual-light" and not app.current_theme.dark


@piloted
async def test_the_probe_says_whether_the_run_fits(tmp_path: Path) -> None:
    probe = fake_command(script(tmp_path / "probe", opening()[:1]))
    from qfid_tui.app.run_worker import RunningScorer

    async with running(demo_choices()) as (app, pilot):
        assert "asking the device" in screen_text(app)
        # The fake child reads a request first, which a real probe is not sent.
        await app.listen_to_probe(RunningScorer({}, command=probe))
        await until(pilot, lambda: "✓ fits" in screen_text(app), "whether it fits")
        assert "Test CPU" in screen_text(app)


@piloted
async def test_earlier_runs_stand_below_and_open() -> None:
    run = save_run("8,4", job={"chunks": "spread"})
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        await until(pilot, lambda: any(row.run for row in app.workbench.table.rows))
        table = app.workbench.table
        assert "old 8" in screen_text(app)
        table.move_to(next(i for i, row in enumerate(table.rows) if row.run == run.id))
        await pilot.press("d")
        await until(pilot, lambda: app.screen is not app.workbench)
        assert type(app.screen).__name__ == "DetailScreen"


@piloted
async def test_every_screen_opens_and_escape_leaves_it() -> None:
    run = save_run("8,4", job={"chunks": "spread"})
    async with running(demo_choices()) as (app, pilot):
        app.workbench.commands.open_run(run.id)
        await until(pilot, lambda: app.comparison.run == run.id)
        for key, screen in (
            ("question_mark", "HelpScreen"),
            ("t", "HistoryScreen"),
            ("d", "DetailScreen"),
            ("i", "InspectorScreen"),
            ("e", "ExportScreen"),
            ("ctrl+p", "CommandPalette"),
        ):
            await pilot.press(key)
            await until(pilot, lambda name=screen: type(app.screen).__name__ == name, screen)  # type: ignore[misc]
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is app.workbench, "back")


@piloted
async def test_choosing_another_model_clears_the_table() -> None:
    run = save_run("8,4", job={"chunks": "spread"})
    async with running(Choices(model="org/absent")) as (app, pilot):
        assert "org/absent" in screen_text(app)
        app.workbench.commands.open_run(run.id)
        await until(pilot, lambda: app.comparison.run == run.id)
        assert app.choices.model == "demo"
        choose(app, model="org/absent")
        await pilot.press("m", "enter")
        assert app.comparison.phase == "idle" and app.choices.model == "demo"


NASTY = ["[/x]", "[red]a\x1b]0;x\x07", "a\x00b\ud800", "‮x`\n\t", "漢字" * 30]


@pytest.mark.parametrize("text", NASTY)
@piloted
async def test_any_name_and_error_text_is_drawn_inert(text: str) -> None:
    from scorer.models.listing import Unscorable
    from scorer.spec.events import Failed, Loading, SettingFailedEvent, Warned

    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        app.workbench.reader.add_models([Unscorable(f"org/{text}", text, 1)], text)
        comparison: Any = app.comparison
        comparison.begin(app.choices.job())
        comparison.step = Loading("model", text)
        show_news(app)
        comparison.add(Warned(text, text))
        comparison.add(SettingFailedEvent("4", "E", text, text))
        comparison.add(Failed("E", text, text))
        comparison.end(by_user=False)
        app.workbench.table.move_to(3)
        show_news(app)
        await pilot.pause()
        shown = screen_text(app)
        assert "\x1b" not in shown and "\x00" not in shown and "\x07" not in shown
        choose(app, ticked=(8, 4, 2), corpus=f"/tmp/{text}.txt")
        await pilot.pause()
        comparison.phase = "idle"


@piloted
async def test_the_model_under_the_cursor_is_told_to_fit_before_it_is_chosen() -> None:
    async with running(Choices(), size=(140, 45)) as (app, pilot):
        app.workbench.device_known(Hello("cpu", "a device", 16 << 30, 8 << 30, "none", {}))
        await until(pilot, lambda: "✓ fits" in screen_text(app), "whether it fits")
        assert app.choices.model is None


@piloted
async def test_enter_opens_the_detail_and_a_key_that_can_do_nothing_says_why() -> None:
    run = save_run("8,4")
    async with running(demo_choices()) as (app, pilot):
        await pilot.press("s", "x")
        assert "Nothing runs" in screen_text(app)
        await pilot.press("enter")
        assert app.screen is app.workbench and not app.comparison.is_active
        assert "has no numbers yet" in screen_text(app)
        app.workbench.commands.open_run(run.id)
        await until(pilot, lambda: app.workbench.table.has_numbers)
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is not app.workbench, "the detail")
