"""What one setting cost at every token of a run's text.

The tokens of all chunks are numbered through, ``chunk · length + place``. The distribution at
position t predicts token t + 1: everything here belongs to the token that was predicted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qfid_tui.pictures.token_glyphs import IntArray, TokenGlyphs
from scorer.stats.positions import Positions

FloatArray = NDArray[np.float64]

LEVEL_EDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""KL in nats at which the next level begins: half decades around the verdicts' thresholds."""
UNSCORED = -1
"""Level of a token that was not scored."""
NO_ROW = -1
"""Row of a token that was not scored."""

_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


@dataclass(frozen=True, slots=True, eq=False)
class SettingTokens:
    """What one setting cost, per token of the text.

    Attributes:
        positions: What was scored, chunk by chunk; None where nothing was.
        row: (T,) int32, row in ``positions`` of each token, -1 where it was not scored.
        level: (T,) int8, 0 to 7 by ``LEVEL_EDGES``, ``UNSCORED`` where it was not scored.
        flipped: (T,) bool, whether the top token changed where the token was predicted.
        ranking: Scored tokens by KL, the largest first, the earlier first of equals.
        sorted_kl: The scored KL, ascending, nats.
    """

    positions: Positions | None
    row: IntArray
    level: NDArray[np.int8]
    flipped: NDArray[np.bool_]
    ranking: IntArray
    sorted_kl: FloatArray

    def looks(self, glyphs: TokenGlyphs) -> IntArray:
        """(n,) int32, for every glyph what its token looks like: ``2 * level + flipped``."""
        return (2 * self.level.astype(np.int32) + self.flipped)[glyphs.token]

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(T,) bool, whether each token was scored."""
        found: NDArray[np.bool_] = self.row != NO_ROW
        return found

    def rank(self, token: int) -> int:
        """The place of a scored token in the ranking, 1 for the largest KL."""
        assert self.positions is not None
        kl = self.positions.kl[self.row[token]]
        smaller, last = (int(np.searchsorted(self.sorted_kl, kl, side)) for side in _SIDES)
        first = len(self.sorted_kl) - last
        equal = self.ranking[first : len(self.sorted_kl) - smaller]
        return first + int(np.searchsorted(equal, token)) + 1


def setting_tokens(
    batches: Sequence[tuple[Positions, Any]], chunks: list[int], length: int
) -> SettingTokens:
    """What one setting cost, per token of the text.

    Args:
        batches: What was scored under it, chunk by chunk.
        chunks: Indices of the text's chunks, ascending; those of ``batches`` are among them.
        length: Tokens of a chunk.
    """
    total = len(chunks) * length
    row = np.full(total, NO_ROW, np.int32)
    level = np.full(total, UNSCORED, np.int8)
    flipped = np.zeros(total, np.bool_)
    if not batches:
        return SettingTokens(None, row, level, flipped, np.zeros(0, np.int32), np.zeros(0))
    positions = Positions.concatenate([positions for positions, _ in batches])
    number = np.searchsorted(chunks, positions.chunk)
    tokens = (number * length + positions.position + 1).astype(np.int32)
    row[tokens] = np.arange(len(tokens), dtype=np.int32)
    flipped[tokens] = positions.flips
    level[tokens] = np.searchsorted(LEVEL_EDGES, positions.kl, side="right")
    return SettingTokens(
        positions=positions,
        row=row,
        level=level,
        flipped=flipped,
        ranking=tokens[np.lexsort((tokens, -positions.kl))],
        sorted_kl=np.sort(positions.kl),
    )
