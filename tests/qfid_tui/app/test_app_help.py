"""The help: the keys of the screen below, and every number explained."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from side_screen_app import Below, drive, footer_width, until
from textual.pilot import Pilot
from textual.widgets import Input, Static

from qfid_tui.app.actions import HelpKey
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.words.glossary import GLOSSARY

KEYS = [
    HelpKey("r", "Run [/] the settings", "workbench.run"),
    HelpKey("x", "Stop", "workbench.stop"),
    HelpKey("^p", "All actions", ""),
]
SIZES = [(80, 24), (140, 45)]


def said(app: Below) -> str:
    console = Console(width=400, file=StringIO())
    for selector in ("#keys", "#glossary"):
        static = app.screen.query_one(selector, Static)
        if static.display:
            console.print(static.content)
    written = console.file
    assert isinstance(written, StringIO)
    return written.getvalue()


@pytest.mark.parametrize("size", SIZES)
def test_keys_and_numbers_are_explained(size: tuple[int, int]) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        text = said(app)
        for key, what, _ in KEYS:
            assert key in text and what in text
        for entries in GLOSSARY.values():
            for entry in entries:
                assert all(word in text for word in entry.term.split())
                assert entry.meaning in text and entry.good in text
        assert not isinstance(app.focused, Input)
        assert footer_width(app) <= size[0]

    drive(HelpScreen(KEYS), steps, size=size)


@pytest.mark.parametrize("key", ["escape", "question_mark", "q"])
def test_it_closes(key: str) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await pilot.press(key)
        await until(pilot, lambda: app.done)

    assert drive(HelpScreen(KEYS), steps).result is None


def test_it_scrolls() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        page = app.screen.query_one("#page")
        for forth, back in (("j", "k"), ("down", "up"), ("pagedown", "pageup"), ("space", "home")):
            await pilot.press(forth)
            await until(pilot, lambda: page.scroll_offset.y > 0)
            await pilot.press(back)
            await until(pilot, lambda: page.scroll_offset.y == 0)

    drive(HelpScreen(KEYS), steps)


def test_the_numbers_are_one_key_away() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await pilot.press("n")
        page, numbers = app.screen.query_one("#page"), app.screen.query_one("#glossary")
        await until(pilot, lambda: page.scroll_offset.y > 0 and numbers.region.y == page.region.y)

    drive(HelpScreen(KEYS * 12), steps)


def test_a_word_narrows_it_and_escape_widens_it_again() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await pilot.press("slash")
        app.screen.query_one(Input).value = "pareto"
        await until(pilot, lambda: "Pareto frontier" in said(app) and "flips" not in said(app))
        assert "Stop" not in said(app)
        await pilot.press("enter", "j")
        assert app.screen.query_one(Input).value == "pareto"
        await pilot.press("slash", *"xq")
        await until(pilot, lambda: "nothing here holds these words" in said(app))
        await pilot.press("escape")
        await until(pilot, lambda: "flips" in said(app) and "Stop" in said(app))
        assert not app.done and not isinstance(app.focused, Input)
        await pilot.press("escape")
        await until(pilot, lambda: app.done)

    drive(HelpScreen(KEYS), steps)


def test_the_names_for_keys_of_ones_own_are_there() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        assert "workbench.stop" in said(app) and '"keys": {"workbench.run": "f5"}' in said(app)
        await pilot.press("slash")
        app.screen.query_one(Input).value = "keys of your own run"
        await until(pilot, lambda: "workbench.run" in said(app) and "Pareto" not in said(app))
        assert "workbench.stop" not in said(app)

    drive(HelpScreen(KEYS), steps)


@pytest.mark.parametrize("size", SIZES)
def test_every_key_can_be_reached_under_the_name_of_its_panel(size: tuple[int, int]) -> None:
    keys = [HelpKey(f"key{i}", f"what {i} does", f"workbench.k{i}") for i in range(60)]
    keys += [HelpKey("space", "Score it", "workbench.tick"), HelpKey("q", "Leave", "app.quit")]

    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        text = said(app)
        order = [text.index(title) for title in ("Settings", "Panels", "Everywhere")]
        if size[0] > 120:
            assert order == sorted(order)
        # The column of keys is longer than the screen and scrolls with the page.
        table, page = app.screen.query_one("#keys"), app.screen.query_one("#page")
        assert table.region.height > page.region.height
        await pilot.press("end")
        await until(pilot, lambda: table.region.bottom <= page.region.bottom)

    drive(HelpScreen(keys), steps, size=size)


@pytest.mark.parametrize("size", SIZES)
def test_how_settings_are_written_is_one_key_away(size: tuple[int, int]) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        page, part = app.screen.query_one("#page"), app.screen.query_one("#notation")
        await pilot.press("s")
        await until(pilot, lambda: part.region.y == page.region.y)
        await pilot.press("slash")
        app.screen.query_one(Input).value = "k16v4"
        await until(pilot, lambda: not app.screen.query_one("#keys").display)
        assert part.display and "nothing here" not in said(app)

    drive(HelpScreen(KEYS * 12), steps, size=size)
