"""Wraps glyphs into lines, with a heading before each chunk."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from qfid_tui.pictures.token_glyphs import NEWLINE, SPACE, WIDE, IntArray, TokenGlyphs

TEXT = -1
"""Value of ``Lines.heading`` for a line of text."""


@dataclass(frozen=True, slots=True, eq=False)
class Lines:
    """m lines of n glyphs.

    Attributes:
        glyphs: The glyphs.
        first: (m,) int32, the first glyph of each line, ascending; for a heading, that of the text
            below it.
        end: (m,) int32, one past the last glyph; equal to ``first`` for a heading.
        heading: (m,) int32, the chunk of a heading, from 0; ``TEXT`` for a line of text.
    """

    glyphs: TokenGlyphs
    first: IntArray
    end: IntArray
    heading: IntArray

    def __len__(self) -> int:
        return len(self.first)

    def of_token(self, token: int) -> tuple[int, int]:
        """Return the first and the last line of a token."""
        first, end = self.glyphs.first[token], self.glyphs.first[token + 1]
        return self._of_glyph(int(first)), self._of_glyph(int(end) - 1)

    def _of_glyph(self, glyph: int) -> int:
        # A heading has the same first glyph as the text below it; the last match is the text.
        return int(np.searchsorted(self.first, glyph, side="right")) - 1

    def column(self, token: int) -> int:
        """Return the number of cells before a token on its first line."""
        cells, glyph = self.glyphs.cells, int(self.glyphs.first[token])
        return int(cells[glyph] - cells[self.first[self._of_glyph(glyph)]])

    def token_at(self, line: int, column: int) -> int:
        """Return the token at a cell, or the nearest on the line; for a heading, the one below."""
        first, end = int(self.first[line]), int(self.end[line])
        if first == end:
            return int(self.glyphs.token[first])
        target = int(self.glyphs.cells[first]) + max(0, column)
        glyph = first + bisect_right(self.glyphs.cells[first:end], target) - 1
        return int(self.glyphs.token[glyph])


def equal_runs(
    values: NDArray[np.integer], first: int, stop: int
) -> Iterator[tuple[int, int, int]]:
    """Yield value, start and end of each run of equal values in ``values[first:stop]``.

    Args:
        values: (n,) of any integer dtype.
        first: First index.
        stop: Index after the last.
    """
    if first < stop:
        changes = np.flatnonzero(values[first + 1 : stop] != values[first : stop - 1])
        for start, end in pairwise([first, *(changes + first + 1).tolist(), stop]):
            yield int(values[start]), start, end


def wrap(glyphs: TokenGlyphs, width: int, chunks: NDArray[np.integer]) -> Lines:
    """Wrap glyphs into lines.

    Lines break before a space, so that a token is not separated from its leading space, beside a
    wide character, after a newline, and inside a word that is longer than the line.

    Args:
        glyphs: The glyphs.
        width: Cells per line; a wider glyph has a line of its own.
        chunks: (c,) of any integer dtype, first token of each chunk, which has a heading.
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
    """Return (n,) int32, the last glyph up to each one that can start a line; else 0."""
    kind = glyphs.kind
    may = (kind == SPACE) | (kind == WIDE)
    may[1:] |= kind[:-1] == WIDE
    return np.maximum.accumulate(np.where(may, np.arange(len(kind)), 0)).astype(np.int32)
