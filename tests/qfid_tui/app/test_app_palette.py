"""Every action is in the palette with its key and a sentence, and runs from there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from cli_saved_runs import save_run
from side_screen_app import Below, drive, until
from textual.binding import Binding
from textual.command import CommandPalette, DiscoveryHit, Hit
from textual.pilot import Pilot
from textual.screen import Screen

from qfid_tui.app.actions import help_keys, screen_actions
from qfid_tui.app.palette import QfidCommands
from qfid_tui.app.screens.compared_runs import ComparedRunsScreen
from qfid_tui.app.screens.confirm import ConfirmScreen
from qfid_tui.app.screens.export import ExportScreen
from qfid_tui.app.screens.fault import Fault, FaultScreen
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.screens.history import HistoryScreen

FAULT = Fault("title", "message", "", ("log",), 1, 1, "run")
SCREENS: dict[str, Callable[[], Screen[Any]]] = {
    "history": lambda: HistoryScreen(None),
    "compared": lambda: ComparedRunsScreen([]),
    "export": lambda: ExportScreen("run", "title", lambda: "<svg/>"),
    "help": lambda: HelpScreen([]),
    "fault": lambda: FaultScreen(FAULT),
    "confirm": lambda: ConfirmScreen("really?", "yes", "no"),
}


def bindings(screen: Screen[Any]) -> list[Binding]:
    """All bindings of the screen and of its widgets that are ours."""
    nodes = [screen, *screen.walk_children()]
    found = [binding for node in nodes for _, binding in node._bindings]
    return [binding for binding in found if binding.id is not None]


async def discovered(screen: Screen[Any]) -> list[DiscoveryHit]:
    hits = [hit async for hit in QfidCommands(screen).discover()]
    assert all(isinstance(hit, DiscoveryHit) for hit in hits)
    return hits  # type: ignore[return-value]


async def found(screen: Screen[Any], words: str) -> list[Hit]:
    hits = [hit async for hit in QfidCommands(screen).search(words) if isinstance(hit, Hit)]
    return sorted(hits, key=lambda hit: -hit.score)


@pytest.mark.parametrize("name", SCREENS)
def test_every_binding_has_an_id_a_verb_and_a_place_in_the_palette(name: str) -> None:
    save_run()

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        if name == "history":
            await until(pilot, lambda: app.screen.query_one("RunTable").display)
        ours = bindings(app.screen)
        assert ours
        for binding in ours:
            assert binding.id and binding.id.startswith(f"{name}."), binding
            assert binding.description and (binding.tooltip or not binding.show), binding
        names = [hit.text or "" for hit in await discovered(app.screen)]
        for binding in ours:
            key = app.get_key_display(binding)
            in_it = [text for text in names if key in text.partition("(")[2].rstrip(")").split()]
            assert in_it, (binding, names)
        assert not any("palette" in text for text in names), "it is open already"
        has_quit = any(text.startswith("Quit") for text in names)
        assert has_quit is not app.screen.is_modal, "a panel hides the app's own keys"

    drive(SCREENS[name](), steps)


@pytest.mark.parametrize("name", SCREENS)
def test_help_and_palette_name_the_same_keys(name: str) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        keys = help_keys(app.screen)
        actions = screen_actions(app.screen)
        assert [key for key, _, _ in keys] == [" ".join(action.keys) for action in actions]
        shown = [action.in_footer for action in actions]
        assert shown == sorted(shown, reverse=True), "what the footer shows comes first"

    drive(SCREENS[name](), steps)


def test_an_action_is_found_by_its_verb_and_by_what_it_does() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        (hit,) = [hit for hit in await found(app.screen, "bell") if "Bell" in str(hit.text)]
        assert str(hit.match_display) == "Bell  (b)" and hit.help == r"Ring \[the/] bell"
        by_sentence = await found(app.screen, "number explained")
        assert str(by_sentence[0].text).startswith("Help")
        assert await found(app.screen, "zzzz") == []

    drive(HistoryScreen(None), steps)


def test_what_is_not_possible_now_comes_last_and_says_so() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: not app.screen.query_one("#run-about").display)
        hits = await discovered(app.screen)
        states = [str(hit.help).startswith("Not possible now · ") for hit in hits]
        assert states == sorted(states) and sum(states) == 6
        notes: list[str] = []
        app.notify = lambda text, **_: notes.append(text)  # type: ignore[method-assign]
        (delete,) = [hit for hit in hits if str(hit.text).startswith("Delete")]
        await delete.command()  # type: ignore[misc]
        assert notes == ["Delete: not possible now"]

    drive(HistoryScreen("demo"), steps)


def test_an_action_runs_from_the_palette() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await pilot.press("ctrl+p")
        await until(pilot, lambda: isinstance(app.screen, CommandPalette))
        await pilot.press(*"bell")
        await until(pilot, lambda: bool(app.screen.query("CommandList")))
        await until(pilot, lambda: app.screen.query_one("CommandList").option_count > 0)  # type: ignore[attr-defined]
        await pilot.press("enter")
        await until(pilot, lambda: not isinstance(app.screen, CommandPalette) or app.rung > 0)
        if isinstance(app.screen, CommandPalette):
            await pilot.press("enter")
        await until(pilot, lambda: app.rung == 1)

    drive(HistoryScreen(None), steps)


def test_keys_the_user_has_moved_are_shown_where_they_are() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        app.set_keymap({"history.delete": "f8"})
        await asyncio.sleep(0)
        names = [str(hit.text) for hit in await discovered(app.screen)]
        assert "Delete  (f8)" in names

    drive(HistoryScreen(None), steps)
