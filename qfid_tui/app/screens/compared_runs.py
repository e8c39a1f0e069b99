"""Settings of several runs in one table; unlike runs share no rank and no scale."""

from __future__ import annotations

import asyncio
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
from qfid_tui.app.screens.joined_runs import JoinedRunsScreen
from qfid_tui.app.shown_text import TONES
from qfid_tui.app.widgets.key_bar import KeyBar
from qfid_tui.state.compared_runs import ComparedRuns, read_compared
from qfid_tui.words.compared_runs import compared_lines
from scorer.report.formats.inline import plural

# Both margins and the scroll bar.
_FRAME = 4


class ComparedRunsScreen(Screen[None]):
    """The runs by number, then their settings in groups that may be ranked."""

    DEFAULT_CSS = """
    ComparedRunsScreen #compared-title {
        height: 1;
        padding: 0 1;
        text-style: bold;
    }
    ComparedRunsScreen VerticalScroll {
        height: 1fr;
        padding: 0 1;
    }
    ComparedRunsScreen #compared {
        height: auto;
        text-wrap: nowrap;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding(
            "question_mark",
            "help",
            "Help",
            id="compared.help",
            tooltip="Keys, and every number explained",
        ),
        Binding(
            "J",
            "joined",
            "By text",
            id="compared.joined",
            tooltip="Verdicts by text, drift by length: runs of one model",
        ),
        Binding("escape", "close", "Close", id="compared.close", tooltip="Back to the history"),
        Binding("j", "scroll(1)", "Down", show=False, id="compared.down"),
        Binding("k", "scroll(-1)", "Up", show=False, id="compared.up"),
    ]

    def __init__(self, ids: Sequence[str]) -> None:
        """Compare runs.

        Args:
            ids: The runs, in the order in which they are numbered.
        """
        super().__init__()
        self._ids = tuple(ids)
        self._compared: ComparedRuns | None = None

    @property
    def is_read(self) -> bool:
        """Whether the runs have been read."""
        return self._compared is not None

    def compose(self) -> ComposeResult:
        """Title, and one page that scrolls."""
        title = f"{plural(len(self._ids), 'run')} side by side · flips, KL mean in nats"
        yield Static(Content(title), id="compared-title")
        with VerticalScroll():
            yield Static(Content("reading …"), id="compared")
        yield KeyBar()

    def on_mount(self) -> None:
        """Read the runs."""
        self.query_one(VerticalScroll).focus()
        self._read()

    @work(exclusive=True)
    async def _read(self) -> None:
        self._compared = await asyncio.to_thread(read_compared, self._ids)
        self._show()

    def on_resize(self) -> None:
        """Give the columns the new width."""
        self._show()

    def _show(self) -> None:
        if self._compared is not None:
            lines = compared_lines(self._compared, self.size.width - _FRAME)
            parts = [
                Content.assemble(*((text, TONES[tone]) for text, tone in line)) for line in lines
            ]
            self.query_one("#compared", Static).update(Content("\n").join(parts))

    def action_scroll(self, lines: int) -> None:
        """Move the page by some lines."""
        self.query_one(VerticalScroll).scroll_relative(y=lines, animate=False)

    def action_help(self) -> None:
        """Explain the keys and the numbers."""
        self.app.push_screen(HelpScreen(help_keys(self)))

    def action_joined(self) -> None:
        """Show the runs by text and length."""
        self.app.push_screen(JoinedRunsScreen(sorted(self._ids)))

    def action_close(self) -> None:
        """Go back."""
        self.dismiss(None)
