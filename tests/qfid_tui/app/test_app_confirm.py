"""The question before something that cannot be undone."""

from __future__ import annotations

from typing import Any

import pytest
from side_screen_app import Below, drive, footer_width, text_of, until
from textual.pilot import Pilot
from textual.widgets import Button

from qfid_tui.app.screens.confirm import ConfirmScreen


def question() -> ConfirmScreen:
    return ConfirmScreen("Delete [b]it[/x]?", "delete", "keep")


@pytest.mark.parametrize(
    ("keys", "answer"),
    [
        (["y"], True),
        (["n"], False),
        (["escape"], False),
        (["enter"], False),
        (["left", "enter"], True),
        (["h", "enter"], True),
        (["right", "enter"], True),
        (["l", "l", "enter"], False),
    ],
)
def test_every_key_answers(keys: list[str], answer: bool) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        assert text_of(app, "#question") == "Delete [b]it[/x]?"
        await pilot.press(*keys)
        await until(pilot, lambda: app.done)

    assert drive(question(), steps).result is answer


@pytest.mark.parametrize(("button", "answer"), [("#yes", True), ("#no", False)])
def test_the_mouse_answers(button: str, answer: bool) -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        await pilot.click(button)
        await until(pilot, lambda: app.done)

    assert drive(question(), steps).result is answer


def test_the_focus_is_on_the_harmless_answer_and_all_of_it_is_seen() -> None:
    async def steps(app: Below, pilot: Pilot[Any]) -> None:
        assert app.focused is app.screen.query_one("#no", Button)
        assert footer_width(app) <= 80
        for button in app.screen.query(Button):
            assert app.screen.region.contains_region(button.region)

    drive(ConfirmScreen("long " * 5000, "delete", "keep"), steps)
