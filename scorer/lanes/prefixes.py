"""The full-precision prefix of a deployment, computed once for all settings of a batch.

Settings with the same start share it. Where a model's full pass was found to hold the very same
bits as a pass over the prefix alone, it is cut out of the reference's, which has been there
already.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models import cache as mlx_lm_cache

from scorer.lm.caches import can_be_cut, cloned, cut
from scorer.lm.split_model import SplitModel

Prefix = tuple[mx.array, list[Any]]


class Prefixes:
    """What lanes share of one batch; a batch is known by its array of tokens.

    Attributes:
        equal: Starts whose prefix may be cut out of a full pass.
    """

    def __init__(self, split: SplitModel, equal: frozenset[int] = frozenset()) -> None:
        self._split = split
        self.equal = equal
        self._tokens: mx.array | None = None
        self._whole: Prefix | None = None
        self._made: dict[int, Prefix] = {}

    def begin(self, tokens: mx.array) -> None:
        """Let go of another batch's prefixes, before the reference takes its memory."""
        if tokens is not self._tokens:
            self._tokens, self._whole, self._made = tokens, None, {}

    def offer(self, tokens: mx.array, hidden: mx.array, caches: list[Any]) -> None:
        """Keep a full pass of the reference: states (B, T, H) and the caches it filled."""
        self.begin(tokens)
        # Equal bits were found with one chunk; several at once may be rounded otherwise.
        if self.equal and tokens.shape[0] == 1 and can_be_cut(caches):
            self._whole = hidden, caches

    def take(self, tokens: mx.array, start: int) -> Prefix:
        """States (B, start, H) of the first tokens, and full-precision caches to go on with."""
        self.begin(tokens)
        if start not in self._made:
            if self._whole is not None and start in self.equal:
                hidden, caches = self._whole
                return hidden[:, :start], [cut(cache, start) for cache in caches]
            caches = mlx_lm_cache.make_prompt_cache(self._split.model)
            hidden = self._split.hidden(tokens[:, :start], caches)
            mx.eval(hidden)
            self._made[start] = hidden, caches
        hidden, caches = self._made[start]
        return hidden, [cloned(cache) for cache in caches]
