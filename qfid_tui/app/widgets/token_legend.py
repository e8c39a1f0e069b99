"""What the colours, the bars and the marks of the token text mean, on one line."""

from __future__ import annotations

from collections.abc import Iterator

from rich.segment import Segment
from textual.strip import Strip
from textual.widget import Widget

from qfid_tui.app.widgets.token_text import BARS, TokenText

_RANGES = ("<.001", ".001", ".003", ".01", ".03", ".1", ".3", "≥1")


class TokenLegend(Widget):
    """The legend of a token text, in its own styles."""

    DEFAULT_CSS = """
    TokenLegend { height: 1; }
    """

    def __init__(self, text: TokenText) -> None:
        """Explain ``text``, whose styles and bars it shows."""
        super().__init__()
        self._text = text

    def render_line(self, y: int) -> Strip:
        """The whole legend; a part that does not fit is left out."""
        kept: list[Segment] = []
        room = self.size.width
        for part in self._parts():
            cells = sum(segment.cell_length for segment in part)
            if cells <= room:
                kept += part
                room -= cells
        return Strip(kept).adjust_cell_length(self.size.width, self.rich_style)

    def _parts(self) -> Iterator[list[Segment]]:
        style, base = self._text.get_component_rich_style, self.rich_style
        yield [Segment(" KL in nats ", base)]
        for level, (name, bar) in enumerate(zip(_RANGES, BARS, strict=True)):
            sign = bar if self._text.bars else ""
            yield [Segment(f" {sign}{name} ", style(f"token-text--level-{level}"))]
        space = Segment("  ", base)
        yield [space, Segment("flip", base + style("token-text--flip", partial=True))]
        yield [space, Segment("not scored", style("token-text--unscored"))]
        yield [space, Segment("₂ part", base)]
        yield [Segment(" 2 of a character", base)]
