"""The text itself, wrapped, each token coloured by what quantization cost where it was predicted.

Only the lines in sight are ever drawn, and only two of them when the cursor moves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from rich.console import COLOR_SYSTEMS
from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.cache import LRUCache
from textual.events import Click, Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from scorer.common.inert_text import inert

if TYPE_CHECKING:
    from qfid_tui.pictures.token_glyphs import IntArray
    from qfid_tui.pictures.token_lines import Lines
    from qfid_tui.state.setting_tokens import SettingTokens
    from qfid_tui.state.token_view import TokenView

BARS = "▁▂▃▄▅▆▇█"
"""One sign a level of KL: what stands on a token where bars are shown."""

_GUTTER = 2
_POINTER, _CARET = "▸", "▼"
_KEPT_STRIPS = 512
# Lines kept in sight above and below the cursor while it moves line by line.
_MARGIN = 2


class TokenText(ScrollView, inherit_bindings=False):
    """The text of a run's chunks with a cursor on one token.

    Tokens that were not scored are dim, and those whose top token changed are underlined. With
    ``bars``, a line above each line of text says the level of each token without colour.

    Attributes:
        cursor: Index of the token with the cursor.
        bars: Whether the bars are shown.
        cost: What the setting changed, per token; None before a text is shown.
        wrapped: The lines of text; None before a text is shown.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        *(f"token-text--level-{level}" for level in range(len(BARS))),
        "token-text--unscored",
        "token-text--flip",
        "token-text--cursor",
        "token-text--heading",
        "token-text--bars",
        "token-text--pointer",
    }
    DEFAULT_CSS = """
    TokenText {
        overflow-x: hidden;
        overflow-y: scroll;
        scrollbar-size-vertical: 1;
        & > .token-text--unscored { color: $text-muted; text-style: dim; }
        & > .token-text--flip { text-style: underline; }
        & > .token-text--cursor { background: $foreground; color: $background; text-style: bold; }
        & > .token-text--heading { color: $text-muted; text-style: bold; }
        & > .token-text--bars { color: $foreground 55%; }
        & > .token-text--pointer { color: $text-accent; text-style: bold; }
        /* Shares of colour that 256 colours still tell apart, in the default themes. */
        &:dark {
            & > .token-text--level-1 { background: $error 10%; }
            & > .token-text--level-2 { background: $error 20%; }
            & > .token-text--level-3 { background: $error 43%; }
            & > .token-text--level-4 { background: $error 60%; }
            & > .token-text--level-5 { background: $error 76%; color: auto; }
            & > .token-text--level-6 {
                background: $warning 65%; color: auto; text-style: bold;
            }
            & > .token-text--level-7 { background: $warning; color: auto; text-style: bold; }
        }
        &:light {
            & > .token-text--level-1 { background: $warning 10%; }
            & > .token-text--level-2 { background: $warning 24%; }
            & > .token-text--level-3 { background: $warning 42%; }
            & > .token-text--level-4 { background: $warning 57%; }
            & > .token-text--level-5 { background: $warning 80%; color: auto; }
            & > .token-text--level-6 { background: $error 65%; color: auto; text-style: bold; }
            & > .token-text--level-7 { background: $error; color: auto; text-style: bold; }
        }
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = []
    can_focus = True

    @dataclass
    class Moved(Message):
        """The cursor is on another token."""

        token: int

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.cursor = 0
        self.bars = False
        self._view: TokenView | None = None
        self.cost: SettingTokens | None = None
        self._setting = ""
        self.wrapped: Lines | None = None
        self._width = 0
        self._column: int | None = None
        self._looks: IntArray | None = None
        self._base: Style | None = None
        self._styles: dict[tuple[int, bool], Style] = {}
        self._strips: LRUCache[tuple[int, bool], Strip] = LRUCache(_KEPT_STRIPS)

    def show(self, view: TokenView, setting: str) -> None:
        """Show a text as a setting left it; the cursor stays where it is."""
        if view is not self._view:
            self._view, self._width = view, 0
            self.cursor = min(self.cursor, len(view.ids) - 1)
        self._setting, self.cost = setting, view.cost(setting)
        self._looks = self.cost.looks(view.glyphs)
        self._lay_out()
        self._redraw()

    def show_bars(self, bars: bool) -> None:
        """Show or hide the bars on the lines; the cursor's line stays in sight."""
        self.bars = bars
        self._measure()
        self._redraw()

    def move_to(self, token: int, *, keep_column: bool = False) -> None:
        """Put the cursor on a token, as near to it as there are tokens."""
        if self._view is None or self.wrapped is None:
            return
        token = max(0, min(token, len(self._view.ids) - 1))
        if not keep_column:
            self._column = None
        if token == self.cursor:
            return
        before, self.cursor = self.cursor, token
        for touched in (before, token):
            first, last = self.wrapped.of_token(touched)
            self.refresh_lines(first * self.rows_per_line, (last - first + 1) * self.rows_per_line)
        self._keep_in_sight()
        self.post_message(self.Moved(token))

    def move_lines(self, count: int) -> None:
        """Move the cursor up or down by lines of text, staying in its column."""
        lines = self.wrapped
        if lines is None:
            return
        if self._column is None:
            self._column = lines.column(self.cursor)
        step = 1 if count > 0 else -1
        line = lines.of_token(self.cursor)[count > 0]
        for _ in range(abs(count)):
            target = line + step
            while 0 <= target < len(lines) and lines.heading[target] >= 0:
                target += step
            if not 0 <= target < len(lines):
                break
            line = target
        self.move_to(lines.token_at(line, self._column), keep_column=True)

    def move_in_line(self, *, to_end: bool) -> None:
        """Put the cursor on the first or the last token of its line."""
        if self.wrapped is not None:
            line = self.wrapped.of_token(self.cursor)[0]
            self.move_to(self.wrapped.token_at(line, self._width if to_end else 0))

    def levels_look_alike(self) -> bool:
        """Whether the terminal has too few colours to tell the levels of KL apart.

        Only their backgrounds are compared: bold or other letters are easily overlooked.
        """
        system = self.app.console.color_system
        if system is None:
            return True
        grounds = set()
        for level in range(len(BARS)):
            ground = self.get_component_rich_style(f"token-text--level-{level}").bgcolor
            shown = None if ground is None else ground.downgrade(COLOR_SYSTEMS[system])
            # The name stays that of the colour before; number and triplet say what is shown.
            grounds.add(None if shown is None else (shown.number, shown.triplet))
        return len(grounds) < len(BARS)

    @property
    def page(self) -> int:
        """Lines of text in sight, less one to hold on to."""
        return max(1, self.scrollable_content_region.height // self.rows_per_line - 1)

    @property
    def rows_per_line(self) -> int:
        """Rows of the screen that a line of text takes: 2 with bars, else 1."""
        return 2 if self.bars else 1

    def on_resize(self, event: Resize) -> None:
        """Wrap anew where the width has changed."""
        self._lay_out()
        self._keep_in_sight()

    def on_click(self, event: Click) -> None:
        """Put the cursor on the token that was clicked."""
        if self.wrapped is not None:
            line = (event.y + self.scroll_offset.y) // self.rows_per_line
            line = max(0, min(line, len(self.wrapped) - 1))
            self.move_to(self.wrapped.token_at(line, event.x - _GUTTER))

    def notify_style_update(self) -> None:
        """Forget what was drawn in other colours."""
        super().notify_style_update()
        self._base = None
        self._styles.clear()
        self._strips.clear()

    def _lay_out(self) -> None:
        width = max(1, self.scrollable_content_region.width - _GUTTER)
        if self._view is None or width == self._width:
            return
        from qfid_tui.pictures.token_lines import wrap

        self._width = width
        self.wrapped = wrap(self._view.glyphs, width, self._view.chunk_starts)
        self._measure()
        self._redraw()

    def _measure(self) -> None:
        if self.wrapped is not None:
            self.virtual_size = Size(self._width + _GUTTER, len(self.wrapped) * self.rows_per_line)
            self.call_after_refresh(self._keep_in_sight)

    def _redraw(self) -> None:
        self._strips.clear()
        self.refresh()

    def _keep_in_sight(self) -> None:
        height = self.scrollable_content_region.height
        if self.wrapped is None or height <= 0:
            return
        first, last = (line * self.rows_per_line for line in self.wrapped.of_token(self.cursor))
        last += self.rows_per_line - 1
        top = self.scroll_offset.y
        margin = min(_MARGIN * self.rows_per_line, (height - self.rows_per_line) // 2)
        if first < top - height or last >= top + 2 * height:
            wanted = first - height // 2
        elif first < top + margin:
            wanted = first - margin
        elif last >= top + height - margin:
            wanted = min(first - margin, last + margin + 1 - height)
        else:
            return
        if max(0, wanted) != top:
            self.scroll_to(y=max(0, wanted), animate=False, force=True)

    def render_line(self, y: int) -> Strip:
        """One row of the screen; y counts from the first row in sight."""
        width = self.scrollable_content_region.width
        line, row = divmod(y + self.scroll_offset.y, self.rows_per_line)
        if self.wrapped is None or line >= len(self.wrapped):
            return Strip.blank(width, self.rich_style)
        bars = row < self.rows_per_line - 1
        first, last = self.wrapped.of_token(self.cursor)
        if first <= line <= last and self.wrapped.heading[line] < 0:
            return self._drawn(line, bars, width, pointed=not bars)
        strip = self._strips.get((line, bars))
        if strip is None:
            strip = self._drawn(line, bars, width, pointed=False)
            self._strips[line, bars] = strip
        return strip

    def _drawn(self, line: int, bars: bool, width: int, *, pointed: bool) -> Strip:
        lines = self.wrapped
        assert lines is not None
        if self._base is None:
            self._base = self.rich_style
        base = self._base
        if (chunk := int(lines.heading[line])) >= 0:
            return Strip.blank(width, base) if bars else self._heading(chunk, width)
        pointer = Segment(" " * _GUTTER, base)
        if pointed:
            pointer = Segment(f"{_POINTER} ", self.get_component_rich_style("token-text--pointer"))
        parts = self._bar_segments(line) if bars else self._text_segments(line)
        cells = lines.glyphs.cells
        rest = width - _GUTTER - int(cells[lines.end[line]] - cells[lines.first[line]])
        if rest < 0:
            return Strip([pointer, *parts]).adjust_cell_length(width, base)
        # With its length given, the strip does not measure every character.
        return Strip([pointer, *parts, Segment(" " * rest, base)], width)

    def _heading(self, chunk: int, width: int) -> Strip:
        assert self._view is not None
        style = self.get_component_rich_style("token-text--heading")
        text = f"── {inert(self._view.heading(self._setting, chunk))} "
        return Strip([Segment(text.ljust(width, "─"), style)]).adjust_cell_length(width, style)

    def _text_segments(self, line: int) -> Iterator[Segment]:
        from qfid_tui.pictures.token_lines import equal_runs

        assert self.wrapped is not None
        assert self._looks is not None
        glyphs = self.wrapped.glyphs
        first, end = int(self.wrapped.first[line]), int(self.wrapped.end[line])
        # The cursor parts the line in three.
        start, stop = glyphs.first[self.cursor : self.cursor + 2].tolist()
        start, stop = (min(max(at, first), end) for at in (start, stop))
        for begin, until, at_cursor in (
            (first, start, False),
            (start, stop, True),
            (stop, end, False),
        ):
            # Neighbours that look alike are one segment: fewer to paint.
            for look, left, right in equal_runs(self._looks, begin, until):
                text = "".join([glyphs.texts[i] for i in glyphs.glyph[left:right].tolist()])
                yield Segment(text, self.style_of(look, at_cursor))

    def _bar_segments(self, line: int) -> Iterator[Segment]:
        assert self._view is not None
        assert self.cost is not None
        style = self.get_component_rich_style("token-text--bars")
        glyphs = self._view.glyphs
        for token, first, end in self.tokens_of(line):
            cells = int(glyphs.cells[end] - glyphs.cells[first])
            level = int(self.cost.level[token])
            sign = BARS[level] if level >= 0 else " "
            # The space that most tokens begin with parts their bars.
            space = cells > 1 and glyphs.texts[glyphs.glyph[first]] == " "
            bar = " " * space + sign * (cells - space)
            if token == self.cursor:
                middle = (cells + space) // 2
                yield Segment(bar[:middle], style)
                yield Segment(_CARET, self.get_component_rich_style("token-text--pointer"))
                yield Segment(bar[middle + 1 :], style)
            else:
                yield Segment(bar, style)

    def tokens_of(self, line: int) -> Iterator[tuple[int, int, int]]:
        """Each token of a line, its first glyph on that line, and the glyph after its last."""
        assert self.wrapped is not None
        glyphs = self.wrapped.glyphs
        at, stop = int(self.wrapped.first[line]), int(self.wrapped.end[line])
        while at < stop:
            token = int(glyphs.token[at])
            end = min(stop, int(glyphs.first[token + 1]))
            yield token, at, end
            at = end

    def style_of(self, look: int, at_cursor: bool) -> Style:
        """The style of glyphs that look so; see ``SettingTokens.looks``."""
        if (look, at_cursor) not in self._styles:
            level, flipped = divmod(look, 2)
            name = "cursor" if at_cursor else "unscored" if level < 0 else f"level-{level}"
            style = self.get_component_rich_style(f"token-text--{name}")
            if flipped:
                style += self.get_component_rich_style("token-text--flip", partial=True)
            self._styles[look, at_cursor] = style
        return self._styles[look, at_cursor]
