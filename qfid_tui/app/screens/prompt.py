"""A value to be typed, with what it means said while it is typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from qfid_tui.app.screens.panel import PanelScreen
from qfid_tui.app.shown_text import shown
from qfid_tui.app.widgets.field import Field
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.state.app_hints import error_text
from scorer.common.errors import InputError


class PromptScreen(PanelScreen[str | None]):
    """Asks for a value; dismisses with the text, or None where the user left it."""

    DEFAULT_CSS = """
    PromptScreen Input {
        margin: 1 0;
    }
    PromptScreen Static {
        height: auto;
    }
    PromptScreen #meaning.-wrong {
        color: $text-error;
    }
    PromptScreen #keys {
        text-style: dim;
        margin-top: 1;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="prompt.close", tooltip="Change nothing"),
    ]

    def __init__(
        self,
        title: str,
        value: str,
        what: str,
        meaning: Callable[[str], str],
        *,
        takes_list: bool = False,
    ) -> None:
        """Ask for a value.

        Args:
            title: What is asked for.
            value: What stands in the field at first.
            what: What can be typed, in a few lines.
            meaning: Says what a text means; raises InputError for one that means nothing.
            takes_list: Whether several values can be given, with commas between.
        """
        super().__init__()
        self._takes_list = takes_list
        self._title, self._value, self._what, self._meaning = title, value, what, meaning

    def compose(self) -> ComposeResult:
        """What can be typed, the field, what it means."""
        with VerticalScroll(classes="panel", can_focus=False) as panel:
            panel.border_title = Content(self._title)
            yield Static(Content(self._what))
            yield Field(self._value, id="value", compact=False, takes_list=self._takes_list)
            yield Static(id="meaning", markup=False)
            yield Static(Content("enter takes it, esc changes nothing"), id="keys")
        yield KeyBar()

    def on_mount(self) -> None:
        """Type at once."""
        self.query_one(Input).focus()
        self._explain(self._value)

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say what it means now."""
        self._explain(event.value)

    def _explain(self, text: str) -> bool:
        meaning = self.query_one("#meaning", Static)
        try:
            found, right = self._meaning(text), True
        except InputError as error:
            found, right = error_text(error), False
        meaning.set_class(not right and bool(text.strip()), "-wrong")
        sign = "" if not text.strip() else "→ " if right else "✗ "
        meaning.update(Content.assemble(sign, shown(found)))
        return right

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take a value that means something."""
        if self._explain(event.value):
            self.dismiss(event.value)

    def action_close(self) -> None:
        """Change nothing."""
        self.dismiss(None)
