"""Runs of one model on several texts and lengths: verdicts by text, drift by length."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from qfid_tui.app.actions import help_keys
from qfid_tui.app.screens.help import HelpScreen
from qfid_tui.app.shown_text import TONES
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.state.joined_runs import read_joined
from qfid_tui.state.texts import TextAtLength
from qfid_tui.words.joined_lines import joined_lines
from scorer.report.formats.inline import plural
from scorer.report.joined import JoinedReport

# Both margins and the scroll bar.
_FRAME = 4


class JoinedRunsScreen(Screen[None]):
    """Verdicts by text, and a block of rows for each text."""

    DEFAULT_CSS = """
    JoinedRunsScreen #joined-title {
        height: 1;
        padding: 0 1;
        text-style: bold;
    }
    JoinedRunsScreen VerticalScroll {
        height: 1fr;
        padding: 0 1;
    }
    JoinedRunsScreen #joined {
        height: auto;
        text-wrap: nowrap;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark",
            "help",
            "Help",
            id="joined.help",
            tooltip="Keys, and every number explained",
        ),
        Binding("escape", "close", "Close", id="joined.close", tooltip="Back"),
        Binding("j", "scroll(1)", "Down", show=False, id="joined.down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="joined.up"),
    ]

    def __init__(self, ids: Sequence[str], missing: Sequence[TextAtLength] = ()) -> None:
        """Join runs.

        Args:
            ids: The runs, in the order of their rows.
            missing: Texts and lengths that are chosen and have no run.
        """
        super().__init__()
        self._missing = tuple(missing)
        self._ids = tuple(ids)
        self._joined: JoinedReport | str | None = None

    @property
    def is_read(self) -> bool:
        """Whether the runs have been read."""
        return self._joined is not None

    def compose(self) -> ComposeResult:
        """Title, and one page that scrolls."""
        title = f"{plural(len(self._ids), 'run')} by text and length · flips, KL mean in nats"
        yield Static(Content(title), id="joined-title")
        with VerticalScroll():
            yield Static(Content("reading …"), id="joined")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the runs."""
        self.query_one(VerticalScroll).focus()
        self._read()

    @work(exclusive=True)
    async def _read(self) -> None:
        self._joined = await asyncio.to_thread(read_joined, self._ids, self._missing)
        self._show()

    def on_resize(self) -> None:
        """Give the columns the new width."""
        self._show()

    def _show(self) -> None:
        if self._joined is None:
            return
        if isinstance(self._joined, str):
            said = textwrap.wrap(f"✗ {self._joined}", max(8, self.size.width - _FRAME))
            content = Content("\n".join(said))
        else:
            lines = joined_lines(self._joined, self.size.width - _FRAME)
            parts = [
                Content.assemble(*((text, TONES[tone]) for text, tone in line)) for line in lines
            ]
            content = Content("\n").join(parts)
        self.query_one("#joined", Static).update(content)

    def action_scroll(self, lines: int) -> None:
        """Move the page by some lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_help(self) -> None:
        """Explain the keys and the numbers."""
        self.app.push_screen(HelpScreen(help_keys(self)))

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
