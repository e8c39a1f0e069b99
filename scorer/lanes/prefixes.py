"""The full-precision prefix of a deployment, computed once for all settings of a batch.

Settings with the same start share it. Where a model's full pass was found to hold the very same
bits as a pass over the prefix alone, the prefix is cut out of the reference's pass.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from scorer.lm.caches import can_be_cut, cloned, cut, fresh_caches
from scorer.lm.model_handle import ModelHandle

Prefix = tuple[mx.array, list[Any]]


class Prefixes:
    """Prefixes that lanes share, of one batch at a time; its array of tokens identifies a batch.

    Args:
        model: Handle of the model that the lanes share.
        equal: Starts whose prefix may be cut out of a full pass.

    Attributes:
        equal: As given.
    """

    def __init__(self, model: ModelHandle, equal: frozenset[int] = frozenset()) -> None:
        self._model = model
        self.equal = equal
        self._tokens: mx.array | None = None
        self._whole: Prefix | None = None
        self._made: dict[int, Prefix] = {}

    def begin(self, tokens: mx.array) -> None:
        """Drop another batch's prefixes, before the reference takes memory for this one.

        Args:
            tokens: (B, T) int32, the batch.
        """
        if tokens is not self._tokens:
            self._tokens, self._whole, self._made = tokens, None, {}

    def offer(self, tokens: mx.array, hidden: mx.array, caches: list[Any]) -> None:
        """Keep a full pass of the reference.

        Args:
            tokens: (B, T) int32, the batch.
            hidden: (B, T, H) in the compute dtype, its final hidden states.
            caches: The caches that it filled.
        """
        self.begin(tokens)
        # Equal bits were found with one chunk; several at once may be rounded otherwise.
        if self.equal and tokens.shape[0] == 1 and can_be_cut(caches):
            self._whole = hidden, caches

    def take(self, tokens: mx.array, start: int) -> Prefix:
        """The prefix of a batch.

        Args:
            tokens: (B, T) int32, the batch.
            start: Tokens of the prefix.

        Returns:
            Final hidden states (B, start, H) in the compute dtype, and the full-precision caches
            after the prefix.
        """
        self.begin(tokens)
        if start not in self._made:
            if self._whole is not None and start in self.equal:
                hidden, caches = self._whole
                return hidden[:, :start], [cut(cache, start) for cache in caches]
            split = self._model.split
            caches = fresh_caches(split.model)
            hidden = split.hidden(tokens[:, :start], caches)
            mx.eval(hidden)
            self._made[start] = hidden, caches
        hidden, caches = self._made[start]
        return hidden, [cloned(cache) for cache in caches]
