"""The inspector goes to matches of a search, and to flips of one setting and not of others."""

from __future__ import annotations

import pytest
from app_pilot import until
from inspector_pilot import RUN, Inspecting, driven, opened
from textual.widgets import Static
from token_text_runs import PROSE, token_run

from qfid_tui.app.widgets.field import Field
from qfid_tui.app.widgets.find_line import FindLine


@pytest.fixture(autouse=True)
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")


@driven
async def test_a_search_goes_from_match_to_match_and_says_when_there_is_none() -> None:
    token_run(PROSE, name=RUN, length=160, chunks=(0, 1))
    app = Inspecting()
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        found = app.view.matches("water")
        assert len(found) > 2
        await pilot.press("slash", *"watex")
        field = app.inspector.query_one(Field)
        said = app.inspector.query_one("#matches", Static)
        assert field.has_focus and "no match" in str(said.render())
        await pilot.press("backspace", "r")
        await until(pilot, lambda: f"{len(found)} matches" in str(said.render()))
        assert app.text.cursor == 1
        await pilot.press("enter")
        assert app.text.has_focus and not app.inspector.query_one(FindLine).display
        assert app.text.cursor == found[0]
        assert f'"water": match 1 of {len(found)}' in app.panel()
        await pilot.press("f")
        assert app.text.cursor == found[1]
        await pilot.press("F", "F")
        assert app.text.cursor == found[-1] and "from the end" in app.panel()
        await pilot.press("f")
        assert app.text.cursor == found[0] and "from the start" in app.panel()
        await pilot.press("slash", *"volcano", "enter")
        assert '"volcano" is not in the text' in app.panel()
        assert app.text.cursor == found[0]
        await pilot.press("f")
        assert '"volcano" is not in the text' in app.panel()
        await pilot.press("slash", "escape")
        assert app.screen is app.inspector and app.text.has_focus
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1, "the inspector is closed")


@driven
async def test_a_key_goes_to_flips_of_this_setting_and_not_of_others() -> None:
    token_run(PROSE, name=RUN, length=160)
    app = Inspecting(settings=("8", "4", "2"))
    async with app.run_test(size=(80, 24)) as pilot:
        await opened(pilot)
        expected = app.view.own_flip_beside("4", ("8", "2"), 1, 1)
        assert expected is not None
        await pilot.press("o")
        assert app.text.cursor == expected
        assert "flips under 4, not under 8 or 2" in app.panel()
        await pilot.press("v")
        assert "own flips: those under 4, not under 8" in app.panel()
        expected = app.view.own_flip_beside("4", ("8",), expected, 1)
        await pilot.press("o")
        assert app.text.cursor == expected and "flips under 4, not under 8" in app.panel()
        await pilot.press("v", "v")
        assert "not under 8 or 2" in app.panel()
        await pilot.press("G", "o")
        assert "no token after this one flips under 4 but not under 8 or 2" in app.panel()
        # What is compared with is not compared with itself.
        await pilot.press("v", "S", "v", "g", "o")
        assert "under 8" in app.panel() and "not under 8" not in app.panel()
