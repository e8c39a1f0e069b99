"""Keys that come at once act in their order in a field."""

from __future__ import annotations

from app_pilot import piloted
from textual.app import App, ComposeResult
from textual.events import Key
from textual.widgets import Input

from qfid_tui.app.widgets.field import Field


class OneField(App[None]):
    """A field, and a key of the app's own."""

    BINDINGS = [("f5", "note", "")]  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def compose(self) -> ComposeResult:
        yield Field("abc3", select_on_focus=False)

    def action_note(self) -> None:
        self.said.append("f5")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.said.append(event.value)


@piloted
async def test_a_bound_key_is_not_overtaken_by_a_character() -> None:
    app = OneField()
    async with app.run_test() as pilot:
        field = app.query_one(Field)
        field.focus()
        await pilot.pause()
        # As one read of the terminal gives them.
        for key, character in (
            ("backspace", "\x7f"),
            ("4", "4"),
            ("left", None),
            ("x", "x"),
            ("home", None),
            ("y", "y"),
            ("enter", "\r"),
            ("f5", None),
        ):
            app.post_message(Key(key, character))
        await pilot.pause()
        await pilot.pause()
        assert field.value == "yabcx4"
        assert sorted(app.said) == ["f5", "yabcx4"]
