"""The keys of the screen below, and every number explained in a sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.screen import Screen
from textual.widgets import Input, Static

from qfid_tui.app.actions import HelpKey
from qfid_tui.app.shown_text import shown
from qfid_tui.app.widgets.field import Field
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.words.glossary import Entry, matching

_WIDE = 120
_OWN_KEYS = "Keys of your own"


class HelpScreen(Screen[None]):
    """Keys, then the glossary; ``/`` narrows both."""

    DEFAULT_CSS = """
    HelpScreen #page {
        padding: 0 1;
        scrollbar-gutter: stable;
    }
    HelpScreen Static {
        height: auto;
        margin-bottom: 1;
    }
    HelpScreen.-wide #keys {
        dock: left;
        width: 48;
        margin-right: 2;
    }
    HelpScreen #find {
        dock: top;
        display: none;
        margin: 0 1;
    }
    HelpScreen #find.-open {
        display: block;
    }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (_WIDE, "-wide")]  # noqa: RUF012
    AUTO_FOCUS = "#page"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,question_mark,q", "close", "Close", id="help.close", tooltip="Back"),
        Binding("slash", "find", "Find", id="help.find", tooltip="Show only what holds a word"),
        Binding("n", "numbers", "Numbers", id="help.numbers", tooltip="Down to the numbers"),
        Binding("j", "scroll_page(1)", "Down", show=False, id="help.down"),
        Binding("k", "scroll_page(-1)", "Up", show=False, id="help.up"),
        Binding("space", "scroll_page(20)", "Page", show=False, id="help.page"),
    ]

    def __init__(self, keys: Sequence[HelpKey]) -> None:
        """Explain a screen.

        Args:
            keys: Of the screen below.
        """
        super().__init__()
        self.keys = list(keys)

    def compose(self) -> ComposeResult:
        """The field that narrows, and one page that scrolls."""
        yield Field(
            placeholder="find a word: p99, bytes, spread …", id="find", select_on_focus=False
        )
        with VerticalScroll(id="page"):
            yield Static(id="keys")
            yield Static(id="glossary")
        yield KeyBar()

    def on_resize(self) -> None:
        """Lay the keys out for the new width."""
        self._show(self.query_one("#find", Input).value)

    def _show(self, words: str) -> None:
        wanted = words.casefold().split()
        keys = [key for key in self.keys if _holds(key, wanted)]
        named = [key for key in self.keys if key.id and _holds(key, wanted, _OWN_KEYS)]
        sections = matching(words)
        self.query_one("#keys").display = bool(keys)
        self.query_one("#keys", Static).update(_keys_table(keys, self._key_columns))
        table = _grid()
        for section, entries in sections.items():
            _add_section(table, section, entries)
        if named:
            _add_ids(table, named)
        if not keys and not sections and not named:
            table.add_row("", Text("nothing here holds these words; escape shows all again"))
        self.query_one("#glossary", Static).update(table)

    @property
    def _key_columns(self) -> int:
        """Two beside each other where the numbers stand below and not at the side."""
        return 2 if 76 <= self.size.width < _WIDE else 1

    def on_input_changed(self, event: Input.Changed) -> None:
        """Narrow what is shown to what was typed."""
        self._show(event.value)

    def on_input_submitted(self) -> None:
        """Leave the field, keep what it narrows to."""
        self.query_one("#page").focus()

    def action_find(self) -> None:
        """Open the field."""
        find = self.query_one("#find", Input)
        find.add_class("-open")
        find.focus()

    def action_close(self) -> None:
        """Show everything again, or leave."""
        find = self.query_one("#find", Input)
        if find.has_class("-open"):
            find.value = ""
            find.remove_class("-open")
            self.query_one("#page").focus()
        else:
            self.dismiss(None)

    def action_numbers(self) -> None:
        """Go down to the numbers."""
        self.query_one("#page").scroll_to_widget(
            self.query_one("#glossary"), top=True, animate=False
        )

    def action_scroll_page(self, lines: int) -> None:
        """Move the page by some lines."""
        self.query_one("#page").scroll_relative(y=lines, animate=False)


def _holds(key: HelpKey, words: Sequence[str], section: str = "") -> bool:
    text = f"{section} {key.keys} {key.what} {key.id if section else ''}".casefold()
    return all(word in text for word in words)


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=19, no_wrap=False)
    table.add_column(ratio=1)
    return table


def _keys_table(keys: Sequence[HelpKey], columns: int) -> Table:
    """The keys, down the first column and then down the next."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for _ in range(columns):
        table.add_column(width=9)
        table.add_column(ratio=1)
    table.add_row(Text("Keys", style="bold underline"))
    height = -(-len(keys) // columns)
    for row in range(height):
        cells = []
        for key in keys[row::height]:
            cells += [
                Text(shown(key.keys, 40).plain, style="bold"),
                Text(shown(key.what, 200).plain),
            ]
        table.add_row(*cells)
    return table


def _add_ids(table: Table, keys: Sequence[HelpKey]) -> None:
    """By which names the settings file gives actions other keys."""
    if table.row_count:
        table.add_row("")
    table.add_row(Text(_OWN_KEYS, style="bold underline"))
    table.add_row(Text("app.json", style="bold"), Text('"keys": {"workbench.run": "f5"}'))
    for key in keys:
        table.add_row(Text(key.id), Text(f"{shown(key.keys, 40).plain}  {key.what}"))


def _add_section(table: Table, section: str, entries: Sequence[Entry]) -> None:
    if table.row_count:
        table.add_row("")
    table.add_row(Text(section, style="bold underline"))
    for entry in entries:
        facts = [f"Unit: {entry.unit}." if entry.unit else "", f"{entry.good}." * bool(entry.good)]
        rest = " ".join(filter(None, facts))
        meaning = Text(entry.meaning)
        if rest:
            meaning.append(f" {rest}", style="italic")
        table.add_row(Text(entry.term, style="bold"), meaning)
