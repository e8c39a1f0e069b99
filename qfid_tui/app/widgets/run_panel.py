"""The run: its progress, rate, time left and memory, and the next step."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from qfid_tui.app.widgets.rows import Part, fitted
from qfid_tui.state.workbench import WorkbenchState
from qfid_tui.words.best_setting import told_apart_text
from qfid_tui.words.run_lines import run_lines, run_title
from scorer.common.inert_text import inert

_RUNNING = 3
_EIGHTHS = " ▏▎▍▌▋▊▉"


def bar(fraction: float, width: int) -> tuple[str, str]:
    """The filled and the empty part of a bar, together ``width`` cells."""
    eighths = round(max(0.0, min(1.0, fraction)) * width * 8)
    whole, part = divmod(eighths, 8)
    filled = "█" * whole + (_EIGHTHS[part] if part else "")
    return filled, "░" * (width - len(filled))


def wrapped(line: Sequence[Part], width: int) -> list[list[Part]]:
    """A line as lines of ``width`` cells at most, broken at blanks; a longer word is cut later.

    Args:
        line: Texts, made inert already, and the names of their styles.
        width: Cells; 0 while it is not known.
    """
    if width <= 0 or sum(cell_len(text) for text, _ in line) <= width:
        return [list(line)]
    lines: list[list[Part]] = [[]]
    used = 0
    for text, style in line:
        for word in re.findall(r"\S+\s*|\s+", text):
            if used and used + cell_len(word.rstrip()) > width:
                lines.append([])
                used = 0
            lines[-1].append((word, style))
            used += cell_len(word)
    return lines


class RunPanel(Widget):
    """A few lines about the run."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "run--text",
        "run--muted",
        "run--strong",
        "run--bar",
        "run--rest",
        "run--good",
        "run--marginal",
        "run--bad",
        "run--warning",
    }
    DEFAULT_CSS = """
    RunPanel {
        height: auto;
        background: $surface;
        border-subtitle-align: left;
        & > .run--text { color: $foreground; }
        & > .run--muted { text-style: dim; }
        & > .run--strong { text-style: bold; }
        & > .run--bar { color: $primary; }
        & > .run--rest { color: $primary-muted; }
        & > .run--good { color: $text-success; text-style: bold; }
        & > .run--marginal { color: $text-warning; }
        & > .run--bad { color: $text-error; text-style: bold; }
        & > .run--warning { color: $text-warning; }
    }
    """

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id, classes="panel")
        self._lines: Sequence[Sequence[Part]] = ()
        self._fraction: float | None = None

    def show(self, state: WorkbenchState) -> None:
        """Show the run of a state: a bar while it goes on, and lines below."""
        comparison = state.comparison
        fraction = comparison.fraction if comparison.is_active else None
        self.border_subtitle = inert(told_apart_text(state))
        self.show_lines(run_title(comparison), run_lines(state), fraction)

    def show_lines(
        self, title: str, lines: Sequence[Sequence[Part]], fraction: float | None
    ) -> None:
        """Show a title, a bar if a fraction (0 to 1) is given, and lines below."""
        self.border_title = title
        if (lines, fraction) == (self._lines, self._fraction):
            return
        width = self.size.width
        before = self._wanted_height(width)
        self._lines, self._fraction = lines, fraction
        self.refresh(layout=self._wanted_height(width) != before)

    def get_content_height(self, container: object, viewport: object, width: int) -> int:
        """The lines, and the bar."""
        return self._wanted_height(width)

    def _wanted_height(self, width: int) -> int:
        if self._fraction is None:
            return max(1, len(self._wrapped(width)))
        # The line about the best setting comes soon: the charts need not move for it.
        return max(_RUNNING, 1 + len(self._wrapped(width)))

    def _wrapped(self, width: int) -> list[list[Part]]:
        """The lines, each with a blank before it, in the width of the panel."""
        found: list[list[Part]] = []
        for line in self._lines:
            parts = [(inert(text), style) for text, style in line]
            found += ([(" ", "text"), *part] for part in wrapped(parts, width - 1))
        return found

    def render_line(self, y: int) -> Strip:
        """The bar first, then the lines."""
        width, base = self.size.width, self.rich_style
        if self._fraction is not None:
            if y == 0:
                filled, rest = bar(self._fraction, max(0, width - 7))
                percent = fitted(f"{100 * self._fraction:.0f} %", 6, right=True)
                parts: Sequence[Part] = [(" " + filled, "bar"), (rest, "rest"), (percent, "strong")]
                return self._strip(parts, width, base)
            y -= 1
        lines = self._wrapped(width)
        if y >= len(lines):
            return Strip.blank(width, base)
        return self._strip(lines[y], width, base)

    def _strip(self, parts: Sequence[Part], width: int, base: Style) -> Strip:
        segments, used = [], 0
        for text, name in parts:
            shown = text
            if used + cell_len(shown.rstrip()) > width:
                shown = fitted(shown, max(0, width - used))
            used += cell_len(shown)
            style = base + self.get_component_rich_style(f"run--{name}", partial=True)
            segments.append(Segment(shown, style))
        return Strip(segments).adjust_cell_length(width, base)
