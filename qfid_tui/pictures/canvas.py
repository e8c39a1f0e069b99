"""A grid of character cells to draw on; each cell has a role, which decides its colour.

Needs only the standard library and Rich's character widths, so charts are tested without an app.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from rich.cells import cell_len

from scorer.common.inert_text import inert

Role = Literal[
    "text", "axis", "guide", "line", "bar", "cursor", "good", "marginal", "bad", "earlier", "other"
]
ROLES: tuple[Role, ...] = (
    "text",
    "axis",
    "guide",
    "line",
    "bar",
    "cursor",
    "good",
    "marginal",
    "bad",
    "earlier",
    "other",
)
VERDICT_SIGNS = {"good": "✓", "marginal": "~", "bad": "✗"}
"""What stands before a verdict, so that colour is not its only sign."""
_REPLACEMENT = "?"
_ELLIPSIS = "…"


def cells_of(text: str) -> list[str]:
    """Split any text into one string per cell; the second cell of a wide character is empty.

    Combining characters and characters without a known width would move the text to their right, so
    they are replaced by a question mark.
    """
    cells: list[str] = []
    for char in inert(text):
        width = cell_len(char)
        if width == 1 and unicodedata.category(char)[0] not in "MC":
            cells.append(char)
        elif width == 2 and unicodedata.category(char) == "Lo":
            cells += [char, ""]
        else:
            cells.append(_REPLACEMENT)
    return cells


def fitted(text: str, width: int) -> str:
    """Return the text cut to ``width`` cells, with an ellipsis if it was longer."""
    cells = cells_of(text)
    if len(cells) <= width:
        return "".join(cells)
    cut = cells[: max(width - 1, 0)]
    if len(cut) < len(cells) and cells[len(cut)] == "" and cut:
        cut[-1] = " "
    return "".join(cut) + (_ELLIPSIS if width > 0 else "")


class Canvas:
    """``height`` rows of ``width`` cells, initially blank. Drawing outside is clipped."""

    def __init__(self, width: int, height: int) -> None:
        self.width = max(width, 0)
        self.height = max(height, 0)
        self._chars = [[" "] * self.width for _ in range(self.height)]
        self._roles: list[list[Role]] = [["text"] * self.width for _ in range(self.height)]

    def write(self, x: int, y: int, text: str, role: Role = "text") -> None:
        """Write any text from ``(x, y)`` to the right."""
        if not 0 <= y < self.height:
            return
        chars, roles = self._chars[y], self._roles[y]
        cells = text if text.isascii() and text.isprintable() else cells_of(text)
        for at, cell in enumerate(cells, x):
            if 0 <= at < self.width:
                self._separate(chars, at)
                chars[at], roles[at] = cell, role
        # Replace half of a wide character at either edge by a blank.
        if chars and chars[0] == "":
            chars[0] = " "
        last = self.width - 1
        if last >= 0 and chars[last] and cell_len(chars[last]) == 2:
            chars[last] = " "

    @staticmethod
    def _separate(chars: list[str], at: int) -> None:
        """Blank the other half of a wide character before cell ``at`` is replaced."""
        if chars[at] == "" and at:
            chars[at - 1] = chars[at - 1] if cell_len(chars[at - 1]) < 2 else " "
        if at + 1 < len(chars) and chars[at + 1] == "":
            chars[at + 1] = " "

    def column(self, x: int, y: int, text: str, role: Role = "text") -> None:
        """Write one-cell characters from ``(x, y)`` downwards; blanks are skipped."""
        if not 0 <= x < self.width:
            return
        # Bars consist of thousands of these, and they need no escaping.
        for at, char in enumerate(text, y):
            if char != " " and 0 <= at < self.height:
                self._separate(self._chars[at], x)
                self._chars[at][x], self._roles[at][x] = char, role

    def is_free(self, x: int, y: int, width: int, over: frozenset[Role] = frozenset()) -> bool:
        """Return whether ``width`` cells are on the grid and blank, or have a role in ``over``."""
        if not 0 <= y < self.height or x < 0 or x + width > self.width:
            return False
        return all(
            self._chars[y][at] == " " or self._roles[y][at] in over for at in range(x, x + width)
        )

    def runs(self, y: int) -> list[tuple[str, Role]]:
        """Return row ``y`` as pieces with one role each."""
        cells = zip(self._roles[y], self._chars[y], strict=True)
        return [
            ("".join(char for _, char in piece), role)
            for role, piece in groupby(cells, key=lambda cell: cell[0])
        ]

    def rows(self) -> list[str]:
        """Return the rows as text."""
        return ["".join(row) for row in self._chars]


@dataclass(slots=True)
class Picture:
    """A drawn chart.

    Attributes:
        canvas: The cells.
        spots: Position ``(x, y)`` of each item of the chart; y is None if the item is a whole
            column.
        missing: Labels of items that are not drawn or not labelled in the picture.
    """

    canvas: Canvas
    spots: list[tuple[int, int | None]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def nearest(self, x: int, y: int) -> int | None:
        """Return the index of the item nearest to a cell; None without items."""
        if not self.spots:
            return None
        # A cell is about twice as high as it is wide.
        return min(
            range(len(self.spots)),
            key=lambda i: (
                (self.spots[i][0] - x) ** 2
                + (0 if self.spots[i][1] is None else (2 * ((self.spots[i][1] or 0) - y)) ** 2)
            ),
        )


@dataclass(frozen=True, slots=True)
class Plot:
    """The part of a canvas inside the axes."""

    x: int
    y: int
    width: int
    height: int
