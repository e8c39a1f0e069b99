"""The keys of the screen below, how settings are written, and every number in a sentence."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widgets import Input, Static

from qfid_tui.app.actions import HelpKey
from qfid_tui.app.shown_text import shown
from qfid_tui.app.widgets.field import Field
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.words.glossary import Entry, matching
from qfid_tui.words.key_groups import group_of, grouped
from qfid_tui.words.notation import NOTATION, RULES, TITLE

_WIDE = 120
_OWN_KEYS = "Keys of your own"


class HelpScreen(Screen[None]):
    """Keys by panel, how a setting is written, then the glossary; ``/`` narrows all of it."""

    DEFAULT_CSS = """
    HelpScreen #page {
        padding: 0 1;
        scrollbar-gutter: stable;
    }
    HelpScreen Static {
        height: auto;
        margin-bottom: 1;
    }
    HelpScreen #texts {
        height: auto;
    }
    HelpScreen.-wide #page {
        layout: horizontal;
    }
    HelpScreen.-wide #keys {
        width: 48;
        margin-right: 2;
    }
    HelpScreen.-wide #texts {
        width: 1fr;
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
        Binding(
            "s", "notation", "Settings", id="help.notation", tooltip="How a setting is written"
        ),
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
            with Vertical(id="texts"):
                yield Static(id="notation")
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
        if not keys and not sections and not named and not _notation_table(wanted):
            table.add_row("", Text("nothing here holds these words; escape shows all again"))
        self.query_one("#glossary", Static).update(table)
        notation = _notation_table(wanted)
        self.query_one("#notation").display = notation is not None
        self.query_one("#notation", Static).update(notation or "")

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
        self._go_to("#glossary")

    def action_notation(self) -> None:
        """Go down to how a setting is written."""
        self._go_to("#notation")

    def _go_to(self, part: str) -> None:
        self.query_one("#page").scroll_to_widget(self.query_one(part), top=True, animate=False)

    def action_scroll_page(self, lines: int) -> None:
        """Move the page by some lines."""
        self.query_one("#page").scroll_relative(y=lines, animate=False)


def _holds(key: HelpKey, words: Sequence[str], section: str = "") -> bool:
    about = f"{section} {key.id}" if section else group_of(key.id)
    text = f"{about} {key.keys} {key.what}".casefold()
    return all(word in text for word in words)


def _grid() -> Table:
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=19, no_wrap=False)
    table.add_column(ratio=1)
    return table


def _keys_table(keys: Sequence[HelpKey], columns: int) -> Table:
    """The keys by panel, down the first column and then down the next."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    for _ in range(columns):
        table.add_column(width=9)
        table.add_column(ratio=1)
    blank = (Text(""), Text(""))
    blocks: list[list[tuple[Text, Text]]] = []
    for title, group in grouped((key.id, key) for key in keys):
        block = [(Text(""), Text(shown(title, 40).plain, style="bold underline"))]
        for key in group:
            what = Text(shown(key.what, 200).plain)
            block.append((Text(shown(key.keys, 40).plain, style="bold"), what))
        blocks.append([*block, blank])
    # A panel's keys stay together: the columns are as equal as that allows.
    sides: list[list[tuple[Text, Text]]] = [[] for _ in range(columns)]
    half, at = sum(map(len, blocks)) / columns, 0
    for block in blocks:
        if sides[at] and len(sides[at]) + len(block) / 2 > half:
            at = min(at + 1, columns - 1)
        sides[at] += block
    for cells in itertools.zip_longest(*sides, fillvalue=blank):
        table.add_row(*itertools.chain.from_iterable(cells))
    return table


def _notation_table(words: Sequence[str]) -> Table | None:
    """How a setting is written, as far as it holds the words; None if nothing does."""
    rows = [*NOTATION, *(("", rule) for rule in RULES)]
    kept = [
        (written, meaning)
        for written, meaning in rows
        if all(word in f"{TITLE} {written} {meaning}".casefold() for word in words)
    ]
    if not kept:
        return None
    table = _grid()
    table.add_row(Text(""), Text(TITLE, style="bold underline"))
    for written, meaning in kept:
        table.add_row(Text(written, style="bold"), Text(meaning))
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
