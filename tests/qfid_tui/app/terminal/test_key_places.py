"""With another keyboard layout, or with caps lock, keys do what they do."""

from __future__ import annotations

from typing import Any

import pytest
from app_pilot import demo_choices, piloted, running, screen_text, until
from textual import events
from textual.widgets import Input

from qfid_tui.app.app import QfidApp
from qfid_tui.app.terminal.key_places import keys_in_place


@pytest.mark.parametrize(
    ("key", "others"),
    [
        ("r", []),
        ("R", ["r"]),
        ("к", ["r"]),
        ("К", ["R", "r"]),
        ("Ы", ["S", "s"]),
        ("і", ["s"]),
        ("ρ", ["r"]),
        ("ר", ["r"]),
        ("х", ["left_square_bracket"]),
        ("ctrl+з", ["ctrl+p"]),
        ("escape", []),
        ("question_mark", []),
        ("ก", []),
        ("é", []),
    ],
)
def test_a_letter_stands_for_the_key_in_its_place(key: str, others: list[str]) -> None:
    assert keys_in_place(key) == others


def type_key(app: QfidApp, letter: str) -> None:
    app.post_message(events.Key(letter, letter))


@pytest.mark.parametrize("letters", ["щфы", "OAS", "ΟΑΣ", "ЩФЫ"])
@piloted
async def test_keys_work_by_their_places(letters: str) -> None:
    options, add, settings = letters
    async with running(demo_choices()) as (app, pilot):
        type_key(app, options)
        await until(pilot, lambda: app.workbench.state.panel == "options", "the options")
        type_key(app, settings)
        await until(pilot, lambda: app.workbench.state.panel == "settings", "the settings")
        type_key(app, add)
        await until(pilot, lambda: isinstance(app.focused, Input), "a field")
        field: Any = app.focused
        # Text is typed as it is.
        for letter in letters:
            type_key(app, letter)
        await until(pilot, lambda: field.value == letters, "the text")


@piloted
async def test_a_key_of_its_own_comes_first_and_one_that_does_nothing_now_says_why() -> None:
    async with running(demo_choices()) as (app, pilot):
        app.set_keymap({"workbench.history": "O"})
        await pilot.pause()
        type_key(app, "O")
        await until(pilot, lambda: type(app.screen).__name__ == "HistoryScreen", "the history")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is app.workbench, "the workbench")
        type_key(app, "в")
        await until(pilot, lambda: "no numbers" in screen_text(app), "why there is no detail")


@piloted
async def test_letters_that_stand_for_no_key_are_told_of_after_a_few() -> None:
    async with running(demo_choices()) as (app, pilot):
        for letter in "กข":
            type_key(app, letter)
        await pilot.press("down")
        for letter in "กข":
            type_key(app, letter)
        await pilot.pause()
        assert not app._notifications
        type_key(app, "ค")
        await until(pilot, lambda: "“ค” is no key" in screen_text(app), "the notice")
