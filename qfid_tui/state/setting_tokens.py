"""What one setting cost at every token of a run's text.

The tokens of all chunks are numbered through, ``chunk · length + place``. The distribution at
position t predicts token t + 1: everything here belongs to the token that was predicted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from qfid_tui.pictures.token_glyphs import IntArray, TokenGlyphs
from scorer.common.errors import QfidError
from scorer.stats.positions import Positions

FloatArray = NDArray[np.float64]

LEVEL_EDGES = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
"""KL in nats at which the next level begins: half decades around the verdicts' thresholds."""
UNSCORED = -1
"""Level of a token that was not scored."""
_CHUNKS_KEPT = 16

_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")


@dataclass(frozen=True, slots=True, eq=False)
class SettingTokens:
    """What one setting cost, per token of the text.

    Little is kept of each token; the rest is read again, chunk by chunk, where it is looked at.

    Attributes:
        level: (T,) int8, 0 to 7 by ``LEVEL_EDGES``, ``UNSCORED`` where it was not scored.
        flipped: (T,) bool, whether the top token changed where the token was predicted.
        ranking: Scored tokens by KL, the largest first, the earlier first of equals.
        sorted_kl: The scored KL, ascending, nats.
        length: Tokens of a chunk.
        chunk: From the place of a chunk in the text to its positions; None where there are none,
            or where they cannot be read any more.
    """

    level: NDArray[np.int8]
    flipped: NDArray[np.bool_]
    ranking: IntArray
    sorted_kl: FloatArray
    length: int
    chunk: Callable[[int], Positions | None]

    def looks(self, glyphs: TokenGlyphs) -> IntArray:
        """(n,) int32, for every glyph what its token looks like: ``2 * level + flipped``."""
        return (2 * self.level.astype(np.int32) + self.flipped)[glyphs.token]

    @property
    def scored(self) -> NDArray[np.bool_]:
        """(T,) bool, whether each token was scored."""
        found: NDArray[np.bool_] = self.level != UNSCORED
        return found

    def position(self, token: int) -> tuple[Positions, int] | None:
        """The positions of a token's chunk and its row in them; None where there is none."""
        number, place = divmod(token, self.length)
        positions = None if self.level[token] == UNSCORED else self.chunk(number)
        if positions is None:
            return None
        return positions, int(np.searchsorted(positions.position, place - 1))

    def rank(self, token: int, kl: float) -> int:
        """The place of a scored token in the ranking, 1 for the largest KL.

        Args:
            token: The token.
            kl: Its KL, nats.
        """
        smaller, last = (int(np.searchsorted(self.sorted_kl, kl, side)) for side in _SIDES)
        first = len(self.sorted_kl) - last
        equal = self.ranking[first : len(self.sorted_kl) - smaller]
        return first + int(np.searchsorted(equal, token)) + 1


def setting_tokens(
    batches: Sequence[tuple[Positions, Any]], chunks: list[int], length: int
) -> SettingTokens:
    """What one setting cost, per token of the text.

    Args:
        batches: What was scored under it, chunk by chunk in ascending order; read one by one.
        chunks: Indices of the text's chunks, ascending; those of ``batches`` are among them.
        length: Tokens of a chunk.
    """
    total = len(chunks) * length
    level = np.full(total, UNSCORED, np.int8)
    flipped = np.zeros(total, np.bool_)
    all_tokens: list[IntArray] = []
    all_kl: list[FloatArray] = []
    place_of = {chunk: place for place, chunk in enumerate(chunks)}
    part_at: dict[int, int] = {}
    for part, (positions, _) in enumerate(batches):
        place = place_of[int(positions.chunk[0])]
        part_at[place] = part
        tokens = (place * length + positions.position + 1).astype(np.int32)
        flipped[tokens] = positions.flips
        level[tokens] = np.searchsorted(LEVEL_EDGES, positions.kl, side="right")
        all_tokens.append(tokens)
        # A copy: the column of a chunk would keep all others in memory.
        all_kl.append(positions.kl.copy())

    @lru_cache(maxsize=_CHUNKS_KEPT)
    def chunk(place: int) -> Positions | None:
        if place not in part_at:
            return None
        try:
            return batches[part_at[place]][0]
        except QfidError:
            return None

    kl = np.concatenate([np.zeros(0), *all_kl])
    order = np.argsort(-kl, kind="stable")
    ranking = np.concatenate([np.zeros(0, np.int32), *all_tokens])[order]
    return SettingTokens(level, flipped, ranking, np.sort(kl), length, chunk)
