"""Glyphs wrapped into lines of a width, with a heading before each chunk."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qfid_tui.pictures.token_glyphs import NEWLINE, SPACE, WIDE, IntArray, TokenGlyphs

TEXT = -1
"""What stands in ``Lines.heading`` for a line of text."""


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """m lines over n glyphs.

    Attributes:
        glyphs: What the lines are made of.
        first: (m,) int32, the first glyph of each line, ascending; for a heading that of the text
            below it.
        end: (m,) int32, one past the last; equal to ``first`` for a heading.
        heading: (m,) int32, the chunk whose heading it is, counted from 0, else ``TEXT``.
    """

    glyphs: TokenGlyphs
    first: IntArray
    end: IntArray
    heading: IntArray

    def __len__(self) -> int:
        return len(self.first)

    def of_token(self, token: int) -> tuple[int, int]:
        """First and last line that a token is drawn on."""
        first, end = self.glyphs.first[token], self.glyphs.first[token + 1]
        return self._of_glyph(int(first)), self._of_glyph(int(end) - 1)

    def _of_glyph(self, glyph: int) -> int:
        # A heading begins where the text below it does: the last of equals is the text.
        return int(np.searchsorted(self.first, glyph, side="right")) - 1

    def column(self, token: int) -> int:
        """Cells in front of a token on its first line."""
        cells, glyph = self.glyphs.cells, int(self.glyphs.first[token])
        return int(cells[glyph] - cells[self.first[self._of_glyph(glyph)]])

    def token_at(self, line: int, column: int) -> int:
        """The token at a cell, or the nearest one of the line; a heading's is the one below it."""
        first, end = int(self.first[line]), int(self.end[line])
        if first == end:
            return int(self.glyphs.token[first])
        target = int(self.glyphs.cells[first]) + max(0, column)
        glyph = first + bisect_right(self.glyphs.cells[first:end], target) - 1
        return int(self.glyphs.token[glyph])


def stretches(values: NDArray[np.integer], first: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Each stretch of equal values in ``values[first:stop]``: the value, its start, its end."""
    if first < stop:
        changes = np.flatnonzero(values[first + 1 : stop] != values[first : stop - 1])
        for start, end in pairwise([first, *(changes + first + 1).tolist(), stop]):
            yield int(values[start]), start, end


def wrap(glyphs: TokenGlyphs, width: int, chunks: NDArray[np.integer]) -> Lines:
    """Wrap glyphs into lines.

    A line breaks in front of a space, so that a token with its leading space stays whole, beside
    a wide character, after a newline, and anywhere where a word is longer than the line.

    Args:
        glyphs: What to wrap.
        width: Cells of a line; a glyph that is wider has a line for itself.
        chunks: (c,) first token of each chunk; each begins with a heading.
    """
    total = len(glyphs.glyph)
    cells: list[int] = glyphs.cells.tolist()
    last_break: list[int] = _last_breaks(glyphs).tolist()
    chunk_starts = glyphs.first[chunks]
    newlines = np.flatnonzero(glyphs.kind == NEWLINE) + 1
    edges = np.unique(np.concatenate([chunk_starts, newlines, [total]])).tolist()
    numbers = {int(start): number for number, start in enumerate(chunk_starts)}
    first, end, heading = [], [], []
    for begin, stop in pairwise(edges):
        if begin in numbers:
            first.append(begin)
            end.append(begin)
            heading.append(numbers[begin])
        at = begin
        while at < stop:
            fits = bisect_right(cells, cells[at] + width, at, stop + 1) - 1
            if fits < stop:
                whole = last_break[fits]
                fits = whole if whole > at else max(fits, at + 1)
            first.append(at)
            end.append(fits)
            heading.append(TEXT)
            at = fits
    return Lines(
        glyphs, np.array(first, np.int32), np.array(end, np.int32), np.array(heading, np.int32)
    )


def _last_breaks(glyphs: TokenGlyphs) -> IntArray:
    """(n,) int32, the last glyph up to each one that a line may begin with; 0 where none."""
    kind = glyphs.kind
    may = (kind == SPACE) | (kind == WIDE)
    may[1:] |= kind[:-1] == WIDE
    return np.maximum.accumulate(np.where(may, np.arange(len(kind)), 0)).astype(np.int32)
