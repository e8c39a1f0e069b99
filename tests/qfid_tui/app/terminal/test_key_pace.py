"""Keys that come at once: each acts before the next one is passed on."""

from __future__ import annotations

import asyncio
import time

import pytest
from app_pilot import piloted
from textual.app import App, ComposeResult
from textual.events import Key, Message
from textual.screen import Screen
from textual.widgets import ListView

from qfid_tui.app.terminal import key_pace
from qfid_tui.app.terminal.key_pace import KeyPace, until_acted
from qfid_tui.app.widgets.field import Field


class Prompt(Screen[None]):
    """A field on a screen of its own."""

    def compose(self) -> ComposeResult:
        yield Field(id="prompt")


class Listed(App[None]):
    """A list; a key opens its field, another a screen with one."""

    BINDINGS = [("slash", "find", ""), ("p", "prompt", ""), ("a", "note", "")]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.noted = 0

    def compose(self) -> ComposeResult:
        yield ListView()
        yield Field(id="find")

    def action_find(self) -> None:
        self.query_one("#find", Field).focus()

    def action_prompt(self) -> None:
        self.push_screen(Prompt())

    def action_note(self) -> None:
        self.noted += 1


def key(character: str) -> Key:
    return Key({"/": "slash"}.get(character, character), character)


async def pressed_at_once(app: Listed, keys: str) -> None:
    """Press keys from a thread, as the driver does with those of one read."""
    loop = asyncio.get_running_loop()
    pace, now = KeyPace(app, loop), time.monotonic()

    def press() -> None:
        for character in keys:
            pace.wait(key(character), now)
            loop.call_soon_threadsafe(app.post_message, key(character))

    await asyncio.to_thread(press)
    await until_acted(app)


@piloted
async def test_what_follows_a_key_that_opens_a_field_is_typed_there() -> None:
    app = Listed()
    async with app.run_test() as pilot:
        app.query_one(ListView).focus()
        await pilot.pause()
        await pressed_at_once(app, "a/aba")
        assert app.query_one("#find", Field).value == "aba" and app.noted == 1


@piloted
async def test_what_follows_a_key_that_opens_a_screen_is_typed_there() -> None:
    app = Listed()
    async with app.run_test() as pilot:
        app.query_one(ListView).focus()
        await pilot.pause()
        await pressed_at_once(app, "paa")
        assert app.screen.query_one("#prompt", Field).value == "aa" and app.noted == 0


@piloted
async def test_only_keys_that_come_together_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    app = Listed()
    async with app.run_test() as pilot:
        app.query_one(ListView).focus()
        await pilot.pause()
        pace = KeyPace(app, asyncio.get_running_loop())
        waited: list[str] = []
        monkeypatch.setattr(KeyPace, "_wait", lambda _: waited.append("x"))
        for message, now in ((key("a"), 1.0), (key("a"), 1.1), (Message(), 1.1), (key("a"), 1.11)):
            pace.wait(message, now)
        assert len(waited) == 1
        # Behind a character that a field takes nothing waits.
        app.query_one("#find", Field).focus()
        await pilot.pause()
        for message, now in ((key("a"), 2.0), (key("b"), 2.0), (Key("enter", "\r"), 2.0)):
            pace.wait(message, now)
        assert len(waited) == 1


@piloted
async def test_no_key_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(_: object) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(key_pace, "until_acted", never)
    monkeypatch.setattr(key_pace, "_MOST_SECONDS", 0.01)
    app = Listed()
    async with app.run_test():
        await asyncio.wait_for(
            asyncio.to_thread(KeyPace(app, asyncio.get_running_loop())._wait), 10
        )
    ended = asyncio.new_event_loop()
    ended.close()
    KeyPace(app, ended)._wait()
