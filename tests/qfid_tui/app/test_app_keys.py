"""Every key of the workbench does what it says, and every state shows without colour."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from app_pilot import (
    choose,
    demo_choices,
    piloted,
    running,
    screen_text,
    show_news,
    until,
)
from cli_saved_runs import chunk_scored, opening, save_run
from textual.binding import Binding
from textual.color import Color

from qfid_tui.app.actions import screen_actions
from qfid_tui.app.app import QfidApp
from qfid_tui.app.screens.workbench import WorkbenchScreen
from qfid_tui.app.screens.workbench_keys import FOOTER
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.app.widgets.model_picker import ModelFilter, ModelPicker
from qfid_tui.app.widgets.options_panel import OptionsPanel
from qfid_tui.app.widgets.rows import Rows
from qfid_tui.app.widgets.settings_table import SettingsTable
from scorer.models.listing import Unscorable
from scorer.spec.events import SettingFailedEvent

OWNERS: dict[str, type[Any]] = {
    "": WorkbenchScreen,
    "models": ModelPicker,
    "options": OptionsPanel,
    "settings": SettingsTable,
}
BINDINGS = [
    (owner, binding)
    for owner, cls in OWNERS.items()
    for base in (cls, Rows)
    if base is cls or owner
    for binding in Binding.make_bindings(base.__dict__["BINDINGS"])
]
APP_BINDINGS = list(Binding.make_bindings(QfidApp.__dict__["BINDINGS"]))


def test_every_binding_has_an_id_a_short_verb_and_a_tooltip() -> None:
    for binding in (*(binding for _, binding in BINDINGS), *APP_BINDINGS):
        assert binding.id and binding.tooltip, binding
        assert 0 < len(binding.description) <= 10, binding
    others = (*APP_BINDINGS, *Binding.make_bindings(ModelFilter.__dict__["BINDINGS"]))
    ids = {binding.id for _, binding in BINDINGS} | {binding.id for binding in others}
    assert set(FOOTER) <= ids


async def pressed(app: QfidApp, pilot: Any, owner: str, binding: Binding) -> bool:
    """Whether the key of a binding runs its action and no other."""
    node = app.workbench if not owner else app.workbench.query_one(f"#{owner}")
    if owner:
        app.workbench.action_show(owner)
        await pilot.pause()
    called = []
    name = binding.action.partition("(")[0]
    method = f"action_{name}"
    original = getattr(node, method)
    setattr(node, method, lambda *parameters: called.append(parameters))
    node.check_action = lambda action, parameters: True
    await pilot.press(binding.key)
    del node.check_action
    setattr(node, method, original)
    return len(called) == 1


@piloted
async def test_every_key_runs_its_action() -> None:
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        for owner, binding in BINDINGS:
            assert await pressed(app, pilot, owner, binding), (owner, binding.key)


@piloted
async def test_q_and_ctrl_q_quit() -> None:
    for key in ("q", "ctrl+q"):
        async with running(demo_choices()) as (app, pilot):
            await pilot.press(key)
            await until(pilot, lambda app=app: not app.is_running, key)


@piloted
async def test_every_action_is_in_the_palette() -> None:
    async with running(demo_choices(), size=(140, 45)) as (app, _):
        offered = {action.action for action in screen_actions(app.workbench)}
        assert {binding.action for _, binding in BINDINGS if not _} <= offered
        assert "quit" in offered


def states() -> list[tuple[str, Any]]:
    """Names of states and what brings the app there."""

    def begin(app: QfidApp) -> Any:
        app.comparison.begin(app.choices.job())
        for event in opening(save_run("8,4", finished=False, chunks=0)):
            app.comparison.add(event)
        return app.comparison

    def scored(kl: float, chunks: int) -> Any:
        def bring(app: QfidApp) -> None:
            comparison = begin(app)
            for chunk in range(chunks):
                comparison.add(chunk_scored("8", chunk, kl * (1 + chunk / 100)))

        return bring

    def failed_setting(app: QfidApp) -> None:
        begin(app).add(SettingFailedEvent("8", "E", "exact zero", ""))

    def ended(by_user: bool) -> Any:
        return lambda app: begin(app).end(by_user=by_user)

    return [
        ("idle", lambda app: None),
        ("ticked", lambda app: choose(app, ticked=(8, 6, 4))),
        ("starting", lambda app: app.comparison.begin(app.choices.job())),
        ("scoring", begin),
        ("good", scored(0.001, 4)),
        ("marginal", scored(0.05, 4)),
        ("bad", scored(0.5, 4)),
        ("open", scored(0.001, 1)),
        ("failed setting", failed_setting),
        ("stopping", lambda app: begin(app).stop()),
        ("stopped", ended(True)),
        ("failed", ended(False)),
    ]


def test_every_state_is_told_apart_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    seen: dict[str, str] = {}

    async def picture(name: str, bring: Any) -> None:
        async with running(demo_choices()) as (app, pilot):
            assert app.no_color
            bring(app)
            show_news(app)
            await pilot.pause()
            seen[name] = screen_text(app)
            app.comparison.phase = "idle"

    for name, bring in states():
        asyncio.run(picture(name, bring))
    assert len(set(seen.values())) == len(seen)
    for sign in ("✓ good", "✗ bad", "~ marginal"):
        assert sign in seen[sign.split()[1]]
    assert "good?" in seen["open"] and "✗ failed" in seen["failed setting"]


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio, 1 to 21. Source: Web Content Accessibility Guidelines 2.2."""

    def luminance(colour: Color) -> float:
        parts = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in colour.normalized
        ]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["textual-dark", "textual-light"])
@piloted
async def test_verdicts_stand_out_in_dark_and_light(theme: str) -> None:
    async with running(demo_choices(theme=theme)) as (app, _):
        table = app.workbench.table
        background = table.rich_style.bgcolor
        assert background is not None
        ground = Color.from_rich_color(background)
        colours = set()
        for name in ("text", "good", "marginal", "bad"):
            style = table.rich_style + table.get_component_rich_style(f"rows--{name}", partial=True)
            colour = Color.from_rich_color(style.color)
            # 3 is what the guidelines ask of what is not told by colour alone.
            assert contrast(colour, ground) >= 3, (theme, name)
            colours.add(colour.hex)
        assert len(colours) == 4


@piloted
async def test_the_focus_and_the_cursor_show_without_colour() -> None:
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        before = screen_text(app)
        await pilot.press("down")
        assert screen_text(app) != before
        lines = [line for line in screen_text(app).splitlines() if "▸ [ ] 6" in line]
        assert len(lines) == 1


def footer(app: QfidApp) -> dict[str, str]:
    """Keys as the footer shows them, and their verbs."""
    bar = app.workbench.query_one(KeyBar)
    return {key: verb for _, key, verb, _ in bar.shown()}


@piloted
async def test_the_footer_names_the_way_on_from_every_panel_and_out_of_it() -> None:
    async with running() as (app, pilot):
        assert footer(app)["⏎"] == "choose" and footer(app)["r"] == "run"
        await pilot.press("slash", "d", "e")
        await until(pilot, lambda: footer(app).get("esc") == "all", "the filter's keys")
        assert footer(app)["⏎"] == "choose" and "r" not in footer(app)
        await pilot.press("escape", "o")
        await until(pilot, lambda: footer(app).get("⏎") == "type", "the options' keys")
        assert footer(app)["→"] == "more" and footer(app)["esc"] == "back"
        await pilot.press("escape")
        await until(pilot, lambda: footer(app).get("space") == "tick", "the settings' keys")
        assert "esc" not in footer(app)
        await pilot.press("z")
        await until(pilot, lambda: footer(app).get("esc") == "back", "the way back")


@piloted
async def test_arrows_move_in_the_list_while_its_filter_is_typed() -> None:
    async with running() as (app, pilot):
        app.workbench.reader.add_models(
            [Unscorable(f"org/model-{i}", "a reason", 1) for i in range(3)]
        )
        await pilot.press("slash", *"model", "up", "up", "up", "down")
        await pilot.pause()
        assert app.workbench.picker.model.name == "org/model-1"
        assert app.focused is app.workbench.body.filter_field


@piloted
async def test_what_lists_and_charts_do_alike_is_told_once_and_done_where_the_focus_is() -> None:
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        await pilot.press("o")
        actions = screen_actions(app.workbench)
        told = [(action.title, action.keys) for action in actions]
        assert len(told) == len(set(told))
        [down] = [
            action for action in actions if action.action == "move(1)" and action.keys[0] != "→"
        ]
        assert down.node is app.workbench.query_one(OptionsPanel)
