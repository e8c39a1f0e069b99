"""Search in a run's text: which tokens begin a match."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

import numpy as np

from qfid_tui.pictures.token_glyphs import TokenGlyphs

# No glyph holds it, so no match goes across it.
_BREAK = "\0"


class TextSearch:
    """The text as it is drawn, without regard to case, with the token of each character."""

    def __init__(self, glyphs: TokenGlyphs, breaks: Iterable[int]) -> None:
        """Prepare the text.

        Args:
            glyphs: What is drawn of the tokens.
            breaks: Tokens that do not follow the one before them in the text.
        """
        folded = [_folded(text) for text in glyphs.texts]
        pieces = [folded[i] for i in glyphs.glyph.tolist()]
        # The number of a part belongs to no word: "₂" between "ï" and "ve".
        for token in glyphs.parts:
            if glyphs.draws_part_number(token):
                pieces[int(glyphs.first[token])] = ""
        for token in breaks:
            at = int(glyphs.first[token])
            pieces[at] = _BREAK + pieces[at]
        self._text = "".join(pieces)
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        self._token = np.repeat(glyphs.token, lengths)

    def find(self, words: str) -> tuple[int, ...]:
        """The tokens in which the matches begin, ascending, none twice; none for no words."""
        wanted = _folded(words)
        found: dict[int, None] = {}
        at = self._text.find(wanted) if wanted else -1
        while at >= 0:
            found[int(self._token[at])] = None
            at = self._text.find(wanted, at + len(wanted))
        return tuple(found)


def _folded(text: str) -> str:
    return unicodedata.normalize("NFC", text).casefold()
