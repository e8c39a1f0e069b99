"""What is pasted into any field of the app is made inert before it is drawn."""

from __future__ import annotations

from typing import Any

import pytest
from app_pilot import demo_choices, piloted, running, screen_text, until
from cli_saved_runs import save_run
from inert_screens import assert_inert
from textual import events
from textual.widgets import Input

FIELDS = {
    "filter": ["slash"],
    "add a setting": ["a"],
    "help": ["question_mark", "slash"],
    "history": ["t", "slash"],
    "palette": ["ctrl+p"],
}


@pytest.mark.parametrize("keys", FIELDS.values(), ids=FIELDS)
@piloted
async def test_a_pasted_control_character_is_a_sign(keys: list[str]) -> None:
    save_run("8")
    async with running(demo_choices()) as (app, pilot):
        for key in keys:
            await pilot.press(key)
            await pilot.pause()
        await until(pilot, lambda: isinstance(app.focused, Input), "a field with the focus")
        field: Any = app.focused
        field.value = ""
        app.post_message(events.Paste("a\x1b]0;title\x07b\nmore"))
        await until(pilot, lambda: field.value != "", "what was pasted")
        # Of several lines the field for settings takes all, and Textual's own the first.
        assert field.value == "a␛]0;title␇b" + (", more" if keys == ["a"] else "")
        assert field.cursor_position == len(field.value)
        assert "a␛]0;title␇b" in screen_text(app)
        if keys not in (["a"], ["ctrl+p"]):
            await until(pilot, lambda: "1 more line of what was pasted" in screen_text(app))
        assert_inert(app)  # type: ignore[arg-type]
        # A search of the palette that goes on would miss its list where the app ends.
        await until(pilot, lambda: all(w.is_finished for w in app.workers), "the search's end")


@piloted
async def test_a_value_that_is_there_at_first_is_inert_too() -> None:
    async with running(demo_choices(corpus="/tmp/a\x1bb.md")) as (app, pilot):
        await pilot.press("o", "down", "down", "down", "down", "enter")
        await until(pilot, lambda: isinstance(app.focused, Input), "a field with the focus")
        field: Any = app.focused
        assert field.value == "/tmp/a␛b.md"
        assert_inert(app)  # type: ignore[arg-type]


@piloted
async def test_every_line_that_is_pasted_into_add_is_a_setting() -> None:
    async with running(demo_choices(), size=(140, 45)) as (app, pilot):
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.focused, Input), "a field with the focus")
        app.post_message(events.Paste("k8v4\n\n 4:32,\n6@512\r\n"))
        await until(pilot, lambda: "3 settings: k8v4, 4:32, 6@512" in screen_text(app), "said")
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is app.workbench, "the workbench")
        names = {row.name for row in app.workbench.table.rows if row.ticked}
        assert names == {"8", "4", "k8v4", "4:32", "6@512"}
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.focused, Input), "a field with the focus")
        app.post_message(events.Paste("k8v3\nk9v4"))
        await until(pilot, lambda: "✗" in screen_text(app) and "k9v4" in screen_text(app), "why")
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.focused, Input)
