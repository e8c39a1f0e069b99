"""The line below the settings table: about the item with the cursor."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from qfid_tui.state.workbench import WorkbenchState
from qfid_tui.words.about_line import about_text
from scorer.common.inert_text import inert


class AboutLine(Static):
    """One line about the row, the option or the model with the cursor."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._text = ""

    def show(self, state: WorkbenchState) -> None:
        """Show the line for a state."""
        text = about_text(state, self.content_size.width)
        if text != self._text:
            self._text = text
            # The line keeps its size: no layout is needed.
            self.update(Content(inert(text)), layout=False)
