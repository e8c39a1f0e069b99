"""Settings of several runs in one table; unlike runs share no rank and no scale."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import ClassVar

from textual import work
from textual.binding import Binding, BindingType
from textual.content import Content

from qfid_tui.app.screens.joined_runs import JoinedRunsScreen
from qfid_tui.app.screens.page import PageScreen, lines_of, page_bindings
from qfid_tui.state.compared_runs import ComparedRuns, read_compared
from qfid_tui.state.paired_runs import PairedRuns, read_paired
from qfid_tui.words.compared_runs import compared_lines
from qfid_tui.words.paired_runs import paired_lines
from scorer.report.formats.inline import plural


class ComparedRunsScreen(PageScreen[ComparedRuns]):
    """The runs by number, then their settings in groups that may be ranked; two are paired."""

    PAGE = "compared"
    BINDINGS: ClassVar[list[BindingType]] = page_bindings(
        PAGE,
        "Back to the history",
        Binding(
            "J",
            "joined",
            "By text",
            id="compared.joined",
            tooltip="Verdicts by text, drift by length: runs of one model",
        ),
    )

    def __init__(self, ids: Sequence[str]) -> None:
        """Compare runs.

        Args:
            ids: The runs, in the order in which they are numbered.
        """
        super().__init__()
        self._ids = tuple(ids)
        self._paired: PairedRuns | None = None

    @property
    def is_read(self) -> bool:
        """Whether what the page shows has been read."""
        return super().is_read and (self._paired is not None or not self._is_pair)

    @property
    def _is_pair(self) -> bool:
        return len(self._ids) == 2

    def on_mount(self) -> None:
        """Pair two runs beside what the page reads: their positions can take longer."""
        # Textual calls that of the base class too.
        if self._is_pair:
            self._pair()

    @work(group="pair", exclusive=True)
    async def _pair(self) -> None:
        self._paired = await asyncio.to_thread(read_paired, *self._ids)
        self._show()

    def page_title(self) -> str:
        """How many runs there are."""
        return f"{plural(len(self._ids), 'run')} side by side · flips, KL mean in nats"

    def read(self) -> ComparedRuns:
        """Read the runs."""
        return read_compared(self._ids)

    def page(self, found: ComparedRuns, width: int) -> Content:
        """The runs, then the table, and two runs paired."""
        lines = compared_lines(found, width)
        if self._is_pair:
            lines += paired_lines(self._paired, width)
        return lines_of(lines)

    def action_joined(self) -> None:
        """Show the runs by text and length."""
        self.app.push_screen(JoinedRunsScreen(sorted(self._ids)))
