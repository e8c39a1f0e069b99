"""The noise floor: how far rounding alone moves the KL mean of a setting.

Quantizing a cache rounds, and rounding amplifies the last bit. So each batch is scored again with
input embeddings changed by no more than one unit in the last place, the same change for the
reference and every setting; the spread of the KL means over such repeats is the floor below which
two figures do not differ. Source: definitions, "Noise floor".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import mlx.core as mx
import mlx.nn as nn

from scorer.lanes.base import Lane, PendingPass
from scorer.lm.patches import pass_options

# Distance from 1 to the next number.
_ULP = {mx.float32: 2.0**-23, mx.float16: 2.0**-10, mx.bfloat16: 2.0**-7}


class EmbeddingNoise:
    """Multiplies what embedding tables return by 1 + ε, ε uniform in ± one ulp.

    The noise of a token depends on repeat, chunk and position alone: not on the batch a chunk is
    in, nor on how a forward pass is cut, so that the reference and every setting see the same.

    Args:
        repeat: Number of the repeat, from 0.
        chunks: Indices of the batch's chunks.
        length: Tokens of a chunk that go through the model.

    Attributes:
        reached: Whether any table's output was changed so far.
    """

    def __init__(self, repeat: int, chunks: Sequence[int], length: int) -> None:
        self.reached = False
        self._seeds = [_seed(repeat, chunk) for chunk in chunks]
        self._length = length
        self._noises: dict[int, mx.array] = {}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Perturb the embeddings of one forward pass over the batch, in one piece or several.

        Only passes of this thread are perturbed. Embeddings (B, T, H) of tokens (B, T) int32 keep
        their shape and dtype; those of tokens of another shape are not changed.
        """
        tokens_embedded: dict[int, int] = {}  # by id of the table
        numbers: dict[int, int] = {}

        def perturb(table: nn.Module, tokens: mx.array, embedded: mx.array) -> mx.array:
            if tokens.ndim != 2 or tokens.shape[0] != len(self._seeds):
                return embedded
            start = tokens_embedded.get(id(table), 0)
            stop = start + tokens.shape[1]
            if stop > self._length:
                return embedded
            tokens_embedded[id(table)] = stop
            number = numbers.setdefault(id(table), len(numbers))
            noise = self._noise(number, embedded.shape[-1])[:, start:stop]
            self.reached = True
            ulp = _ULP.get(embedded.dtype, 0.0)
            return (embedded.astype(mx.float32) * (1 + ulp * noise)).astype(embedded.dtype)

        with pass_options(perturb=perturb):
            yield

    def _noise(self, number: int, width: int) -> mx.array:
        """Uniform in ±1, (B, T, width) float32, for the ``number``-th table that was used."""
        if number not in self._noises:
            shape = (self._length, width)
            self._noises[number] = mx.stack(
                [
                    mx.random.uniform(-1, 1, shape, key=mx.random.key(s + number))
                    for s in self._seeds
                ]
            )
        return self._noises[number]


def _seed(repeat: int, chunk: int) -> int:
    return (repeat << 40) + (chunk << 8)


class SharingLane(Lane, Protocol):
    """A lane that may take parts of its passes from other lanes."""

    def unshared(self) -> Lane:
        """The same lane with nothing shared with other lanes but the model."""


class PerturbedLane:
    """A lane, reference or candidate, fed with perturbed embeddings.

    Args:
        lane: The lane; what it shares with others is not perturbed and so not used.
        noise: The perturbation of the batch that it is given.

    Attributes:
        key: That of the lane.
        first_position: That of the lane.
        acquire: That of the lane.
        release: That of the lane.
    """

    def __init__(self, lane: SharingLane, noise: EmbeddingNoise) -> None:
        self._lane = lane.unshared()
        self._noise = noise
        self.key = lane.key
        self.first_position = lane.first_position
        self.acquire = self._lane.acquire
        self.release = self._lane.release

    def begin(self, tokens: mx.array) -> PendingPass:
        """Dispatch a forward pass over tokens (B, T) int32."""
        with self._noise.applied():
            return self._lane.begin(tokens)

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        """Logits (B, stop − start, V), compute dtype or float32, see :meth:`Lane.logits`."""
        return self._lane.logits(hidden, start, stop)
