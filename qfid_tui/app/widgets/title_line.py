"""The title of the workbench. The first frame shows it, so it imports nothing it can do without."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.widgets import Static

from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from qfid_tui.state.workbench import WorkbenchState


class TitleLine(Static):
    """Model, text, chunks and device on one line."""

    DEFAULT_CSS = """
    TitleLine {
        dock: top;
        height: 1;
        background: $panel;
        text-wrap: nowrap;
        text-overflow: ellipsis;
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(Content(" qfid"), id=id)
        self._text = ""

    def show(self, state: WorkbenchState) -> None:
        """Show the title for a state."""
        from qfid_tui.words.title_line import title_text

        text = title_text(state, self.screen.size.width)
        if text != self._text:
            self._text = text
            content = Content.assemble((" qfid ", "bold reverse"), "  ", Content(inert(text)))
            # The line keeps its size: no layout is needed.
            self.update(content, layout=False)
