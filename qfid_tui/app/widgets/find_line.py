"""The line in which the words of a search are typed, with how many matches there are."""

from __future__ import annotations

from collections.abc import Callable

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.widgets import Input, Static

from qfid_tui.app.widgets.field import Field


class FindLine(Horizontal):
    """A field that says while one types how often the text holds it; hidden until opened."""

    DEFAULT_CSS = """
    FindLine {
        height: 1;
        display: none;
        &.-open { display: block; }
        & Static { width: auto; padding: 0 1; }
        & Field { width: 1fr; }
    }
    """

    def __init__(self, count: Callable[[str], int]) -> None:
        """Make the line.

        Args:
            count: How many matches words have.
        """
        super().__init__()
        self._count = count

    def compose(self) -> ComposeResult:
        """The sign, the field, the number of matches."""
        yield Static("/", markup=False)
        yield Field(id="find")
        yield Static(id="matches", markup=False)

    @property
    def is_open(self) -> bool:
        """Whether something can be typed."""
        return self.has_class("-open")

    def open(self) -> None:
        """Show the line; the last words are selected, so that typing replaces them."""
        self.add_class("-open")
        field = self.query_one(Field)
        self._say(field.value)
        field.focus()

    def close(self) -> None:
        """Hide the line."""
        self.remove_class("-open")

    def on_input_changed(self, event: Input.Changed) -> None:
        """Say how many matches there are now."""
        event.stop()
        if self.is_open:
            self._say(event.value)

    def _say(self, words: str) -> None:
        matches = self._count(words)
        said = "no match" if matches == 0 else "1 match" if matches == 1 else f"{matches} matches"
        text = f"{said} · enter goes there" if matches else said
        self.query_one("#matches", Static).update(text if words else "type a part of the text")
