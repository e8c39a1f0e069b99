"""All that is known of the token under the cursor, under the reference and every setting."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, ClassVar

from rich.segment import Segment
from rich.style import Style
from textual.events import Resize
from textual.geometry import Region, Size
from textual.strip import Strip
from textual.widget import Widget

from qfid_tui.words.token_rows import PLAIN, Row, panel_rows, wanted_rows

if TYPE_CHECKING:
    from qfid_tui.state.token_view import TokenFacts

# Rows above and below text and panel: title, border, legend, keys.
_OTHER_ROWS = 4
_FEWEST_ROWS = 3


class TokenPanel(Widget):
    """What was predicted where a token stands, under the reference and under every setting."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"token-panel--muted", "token-panel--strong"}
    DEFAULT_CSS = """
    TokenPanel {
        & > .token-panel--muted { color: $foreground 60%; }
        & > .token-panel--strong { text-style: bold; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._facts: TokenFacts | None = None
        self._setting = ""
        self._message = ""
        self._rows: list[Row] = []
        self._styles: dict[str, Style] = {}

    def show(self, facts: TokenFacts, setting: str, message: str = "") -> None:
        """Show one token.

        Args:
            facts: What is known of it.
            setting: The setting, in notation.
            message: What the last key did or did not find, or "".
        """
        before = self._facts
        self._facts, self._setting, self._message = facts, setting, message
        if before is None or len(before.settings) != len(facts.settings):
            self.refresh(layout=True)
        self._lay_out()

    def get_content_height(self, container: Size, viewport: Size, width: int) -> int:
        """Below the text: a row for each setting, but not more than half of the screen."""
        wanted = wanted_rows(1 if self._facts is None else len(self._facts.settings))
        return max(_FEWEST_ROWS, min(wanted, (viewport.height - _OTHER_ROWS) // 2))

    def on_resize(self, event: Resize) -> None:
        """Lay the rows out for the new size: tall beside the text, short below it."""
        self._lay_out()

    def render_line(self, y: int) -> Strip:
        """One row of the panel."""
        row = self._rows[y] if y < len(self._rows) else ()
        segments = [Segment(text, self._style(style)) for text, style in row]
        return Strip(segments).adjust_cell_length(self.content_size.width, self._style(PLAIN))

    def _style(self, name: str) -> Style:
        if name not in self._styles:
            self._styles[name] = (
                self.get_component_rich_style(f"token-panel--{name}") if name else self.rich_style
            )
        return self._styles[name]

    def notify_style_update(self) -> None:
        """Forget the colours of before."""
        super().notify_style_update()
        self._styles.clear()

    def _lay_out(self) -> None:
        size = self.content_size
        if self._facts is None or not size:
            return
        before = self._rows
        self._rows = panel_rows(self._facts, self._setting, *size, self._message)
        # Most rows stay as they are when the cursor moves.
        for y, (old, new) in enumerate(zip_longest(before, self._rows)):
            if old != new:
                self.refresh(Region(0, y, size.width, 1))
