"""Runs of one model on several texts and lengths: verdicts by text, drift by length."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import ClassVar

from textual.binding import BindingType
from textual.content import Content

from qfid_tui.app.screens.page import PageScreen, lines_of, page_bindings
from qfid_tui.state.joined_runs import read_joined
from qfid_tui.state.texts import TextAtLength
from qfid_tui.words.joined_lines import joined_lines
from scorer.report.formats.inline import plural
from scorer.report.joined import JoinedReport


class JoinedRunsScreen(PageScreen[JoinedReport | str]):
    """Verdicts by text, and a block of rows for each text."""

    PAGE = "joined"
    BINDINGS: ClassVar[list[BindingType]] = page_bindings(PAGE, "Back")

    def __init__(self, ids: Sequence[str], missing: Sequence[TextAtLength] = ()) -> None:
        """Join runs.

        Args:
            ids: The runs, in the order of their rows.
            missing: Texts and lengths that are chosen and have no run.
        """
        super().__init__()
        self._missing = tuple(missing)
        self._ids = tuple(ids)

    def page_title(self) -> str:
        """How many runs there are."""
        return f"{plural(len(self._ids), 'run')} by text and length · flips, KL mean in nats"

    def read(self) -> JoinedReport | str:
        """Read and join the runs; why they cannot be, where they cannot."""
        return read_joined(self._ids, self._missing)

    def page(self, found: JoinedReport | str, width: int) -> Content:
        """The joined report, or what is wrong."""
        if isinstance(found, str):
            return Content("\n".join(textwrap.wrap(f"✗ {found}", max(8, width))))
        return lines_of(joined_lines(found, width))
