"""Glyphs of tokens: decodes bytes to characters and splits characters into cells.

A token can end inside a UTF-8 character. The bytes of adjacent tokens are joined, so the first of
these tokens draws the whole character, and the others draw the number of their part (``₂``). All
control characters are escaped.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from rich.cells import get_character_cell_size

from scorer.common.inert_text import inert

IntArray = NDArray[np.int32]
ByteArray = NDArray[np.uint8]

ORDINARY, SPACE, WIDE, NEWLINE = range(4)

NEWLINE_SIGN, TAB_SIGN = "⏎", "⇥"
MISSING_SIGN = "·"
INVISIBLE_SIGN = "◌"
_PARTS = "₀₁₂₃₄₅₆₇₈₉"
_JOINER = "\u200d"
_SELECTORS = frozenset(map(chr, range(0xFE00, 0xFE10)))
_SKIN_TONES = frozenset(map(chr, range(0x1F3FB, 0x1F400)))
# Bytes that are not UTF-8, as decoded by the error handler `surrogateescape`.
_FIRST_STRAY, _LAST_STRAY = "\udc80", "\udcff"
_STRAY_OFFSET = 0xDC00

MISSING = -1
"""Id of a token that the run does not store."""


@dataclass(frozen=True, slots=True)
class CharacterPart:
    """The part of one token in a character that several tokens encode together.

    Attributes:
        character: The whole character.
        number: Number of the token among them, from 1.
        of: Number of tokens that encode the character.
    """

    character: str
    number: int
    of: int


@dataclass(frozen=True, slots=True, eq=False)
class TokenGlyphs:
    """The n glyphs of T tokens, each of one or two cells.

    Attributes:
        texts: Distinct glyphs: a character with its combining marks.
        glyph: (n,) int32, index into ``texts``.
        token: (n,) int32, the token of each glyph, ascending; every token has at least one glyph.
        kind: (n,) uint8, ``ORDINARY``, ``SPACE``, ``WIDE`` or ``NEWLINE``, for line breaks.
        cells: (n + 1,) int32, cells before each glyph; the last is the sum.
        first: (T + 1,) int32, the first glyph of each token, then n.
        parts: Maps a token to the characters that it encodes in part, in order.
    """

    texts: list[str]
    glyph: IntArray
    token: IntArray
    kind: ByteArray
    cells: IntArray
    first: IntArray
    parts: dict[int, tuple[CharacterPart, ...]]

    def text(self, token: int) -> str:
        """Return the text that is drawn for one token."""
        own = self.glyph[self.first[token] : self.first[token + 1]]
        return "".join(self.texts[i] for i in own)

    def draws_part_number(self, token: int) -> bool:
        """Whether a token is drawn as the number of its part of a character, and nothing else."""
        parts = self.parts.get(token, ())
        return bool(parts) and self.text(token) == _PARTS[parts[0].number]


def inert_text(data: bytes) -> str:
    """Decode the bytes of one token to one line; bytes that are not UTF-8 become ``‹E4›``."""
    return "".join(text for text, _, _ in _glyphs(data.decode("utf-8", "surrogateescape")))


def glyphs_of_tokens(
    ids: IntArray, pieces: Mapping[int, bytes], joined: NDArray[np.bool_]
) -> TokenGlyphs:
    """Make the glyphs of the tokens of a text.

    Args:
        ids: (T,) int32 token ids; ``MISSING`` if unknown.
        pieces: Bytes of tokens; tokens without bytes are drawn as their ids.
        joined: (T,) bool, whether a token directly follows the previous one in the text.
    """
    table = _PieceTable()
    unique, inverse = np.unique(ids, return_inverse=True)
    rows = np.zeros(len(unique), np.int32)
    broken = np.zeros(len(unique), np.bool_)
    for i, token in enumerate(unique.tolist()):
        data = pieces.get(token, b"")
        try:
            text = data.decode("utf-8")
        except UnicodeDecodeError:
            broken[i] = True
            continue
        rows[i] = table.row(text or (MISSING_SIGN if token == MISSING else f" {token}"))
    row = rows[inverse]
    parts: dict[int, tuple[CharacterPart, ...]] = {}
    for first, end in _runs(broken[inverse], joined):
        encoded = [pieces[int(token)] for token in ids[first:end]]
        for token, (text, own) in enumerate(_joined(encoded), first):
            row[token] = table.row(text)
            if own:
                parts[token] = own
    return table.to_glyphs(row, parts)


@dataclass(slots=True)
class _PieceTable:
    """Distinct texts of tokens, each split into glyphs once."""

    rows: dict[str, int] = field(default_factory=dict)
    starts: list[int] = field(default_factory=lambda: [0])
    numbers: dict[str, int] = field(default_factory=dict)
    glyphs: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    widths: list[int] = field(default_factory=list)

    def row(self, text: str) -> int:
        """Return the number of a text, which must not be empty."""
        if text not in self.rows:
            self.rows[text] = len(self.rows)
            for glyph, width, kind in _glyphs(text):
                self.glyphs.append(self.numbers.setdefault(glyph, len(self.numbers)))
                self.kinds.append(kind)
                self.widths.append(width)
            self.starts.append(len(self.glyphs))
        return self.rows[text]

    def to_glyphs(self, row: IntArray, parts: dict[int, tuple[CharacterPart, ...]]) -> TokenGlyphs:
        starts = np.array(self.starts, np.int32)
        counts = (starts[1:] - starts[:-1])[row]
        first = np.zeros(len(row) + 1, np.int32)
        np.cumsum(counts, out=first[1:])
        source = np.arange(first[-1], dtype=np.int32) + np.repeat(starts[row] - first[:-1], counts)
        cells = np.zeros(len(source) + 1, np.int32)
        np.cumsum(np.array(self.widths, np.int32)[source], out=cells[1:])
        return TokenGlyphs(
            texts=list(self.numbers),
            glyph=np.array(self.glyphs, np.int32)[source],
            token=np.repeat(np.arange(len(row), dtype=np.int32), counts),
            kind=np.array(self.kinds, np.uint8)[source],
            cells=cells,
            first=first,
            parts=parts,
        )


def _runs(broken: NDArray[np.bool_], joined: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield first token and end of each run of tokens that are not valid UTF-8 by themselves.

    A valid token has only whole characters, so characters never extend across it.
    """
    tokens = np.flatnonzero(broken)
    if len(tokens):
        cuts = np.flatnonzero((np.diff(tokens) > 1) | ~joined[tokens[1:]]) + 1
        for run in np.split(tokens, cuts):
            yield int(run[0]), int(run[-1]) + 1


def _joined(encoded: list[bytes]) -> Iterator[tuple[str, tuple[CharacterPart, ...]]]:
    """Yield the text of each of some adjacent tokens, and its parts of shared characters."""
    owner = [i for i, data in enumerate(encoded) for _ in data]
    texts = [""] * len(encoded)
    parts: list[list[CharacterPart]] = [[] for _ in encoded]
    at = 0
    for character in b"".join(encoded).decode("utf-8", "surrogateescape"):
        size = 1 if _is_stray(character) else len(character.encode())
        owners = list(dict.fromkeys(owner[at : at + size]))
        texts[owners[0]] += character
        if len(owners) > 1:
            for number, token in enumerate(owners, 1):
                parts[token].append(CharacterPart(character, number, len(owners)))
        at += size
    for text, own in zip(texts, parts, strict=True):
        yield text or _PARTS[own[0].number], tuple(own)


def _glyphs(text: str) -> list[tuple[str, int, int]]:
    """Split the text of a token into (glyph, cells, kind); empty only for empty text."""
    found: list[tuple[str, int, int]] = []
    for character in text:
        if character == "\n":
            found.append((NEWLINE_SIGN, 1, NEWLINE))
        elif character == "\t":
            found.append((TAB_SIGN, 1, ORDINARY))
        elif character == " ":
            found.append((character, 1, SPACE))
        elif _is_stray(character):
            byte = f"‹{ord(character) - _STRAY_OFFSET:02X}›"
            found += [(sign, 1, ORDINARY) for sign in byte]
        elif (safe := inert(character)) != character:
            found += [(sign, 1, ORDINARY) for sign in safe]
        elif width := get_character_cell_size(character):
            found.append((character, width, WIDE if width == 2 else ORDINARY))
        else:
            _add_zero_width(found, character)
    return found or [(INVISIBLE_SIGN, 1, ORDINARY)] * bool(text)


def _add_zero_width(found: list[tuple[str, int, int]], character: str) -> None:
    """Add a character that has no cell of its own.

    Joiners and variation selectors are omitted: terminals disagree on the width of the result, and
    a wrong width would shift the rest of the line.
    """
    if character in _SKIN_TONES:
        found.append((INVISIBLE_SIGN, 1, ORDINARY))
    elif character != _JOINER and character not in _SELECTORS:
        if found and found[-1][2] in (ORDINARY, WIDE):
            text, width, kind = found[-1]
            found[-1] = text + character, width, kind
        elif unicodedata.category(character)[0] in "ML":
            found.append((INVISIBLE_SIGN + character, 1, ORDINARY))


def _is_stray(character: str) -> bool:
    return _FIRST_STRAY <= character <= _LAST_STRAY
