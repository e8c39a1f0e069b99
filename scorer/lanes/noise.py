"""The noise floor: how far rounding alone moves the KL mean of a setting.

Quantizing a cache rounds, and rounding amplifies the last bit. So each batch is scored again with
input embeddings changed by no more than one unit in the last place, the same change for the
reference and every setting; the spread of the KL means over such repeats is the floor below which
two figures do not differ. Source: definitions, "Noise floor".
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from scorer.lanes.base import Begun, ReferenceLane
from scorer.lanes.kv.lane import KVLane

# Distance from 1 to the next number.
_ULP = {mx.float32: 2.0**-23, mx.float16: 2.0**-10, mx.bfloat16: 2.0**-7}
_TABLES = (nn.Embedding, nn.QuantizedEmbedding)


class EmbeddingNoise:
    """Multiplies what embedding tables return by 1 + ε, ε uniform in ± one ulp.

    The noise of a token depends on repeat, chunk and position alone: not on the batch a chunk is
    in, nor on how a forward pass is cut, so that the reference and every setting see the same.

    Attributes:
        reached: Whether any table's output was changed so far.
    """

    def __init__(self, repeat: int, chunks: Sequence[int], length: int) -> None:
        self.reached = False
        self._seeds = [_seed(repeat, chunk) for chunk in chunks]
        self._length = length
        self._made: dict[int, mx.array] = {}

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Perturb the embeddings of one forward pass over the batch, in one piece or several."""
        originals = {table: table.__call__ for table in _TABLES}
        seen: dict[int, int] = {}  # table to tokens it has embedded in this pass
        order: dict[int, int] = {}

        def perturbing(table: type) -> Any:
            original: Any = originals[table]

            def call(module: Any, tokens: mx.array) -> mx.array:
                embedded: mx.array = original(module, tokens)
                if tokens.ndim != 2 or tokens.shape[0] != len(self._seeds):
                    return embedded
                start = seen.get(id(module), 0)
                stop = start + tokens.shape[1]
                if stop > self._length:
                    return embedded
                seen[id(module)] = stop
                number = order.setdefault(id(module), len(order))
                noise = self._noise(number, embedded.shape[-1])[:, start:stop]
                self.reached = True
                ulp = _ULP.get(embedded.dtype, 0.0)
                return (embedded.astype(mx.float32) * (1 + ulp * noise)).astype(embedded.dtype)

            return call

        for table in _TABLES:
            table.__call__ = perturbing(table)
        try:
            yield
        finally:
            for table, original in originals.items():
                table.__call__ = original

    def _noise(self, number: int, width: int) -> mx.array:
        """Uniform in ±1, (B, T, width), of the table that was used as the ``number``-th."""
        if number not in self._made:
            shape = (self._length, width)
            self._made[number] = mx.stack(
                [
                    mx.random.uniform(-1, 1, shape, key=mx.random.key(s + number))
                    for s in self._seeds
                ]
            )
        return self._made[number]


def _seed(repeat: int, chunk: int) -> int:
    return (repeat << 40) + (chunk << 8)


class PerturbedReference(ReferenceLane):
    """The reference fed with perturbed embeddings."""

    __slots__ = ("noise",)

    def __init__(self, lane: ReferenceLane, noise: EmbeddingNoise) -> None:
        super().__init__(lane.split)
        self.noise = noise

    def begin(self, tokens: mx.array) -> Begun:
        """Begin a forward pass over tokens (B, T)."""
        with self.noise.applied():
            return super().begin(tokens)


class PerturbedLane(KVLane):
    """A setting fed with perturbed embeddings."""

    def __init__(self, lane: KVLane, noise: EmbeddingNoise) -> None:
        super().__init__(lane.split, lane.setting, lane.arithmetic)
        self.noise = noise

    def begin(self, tokens: mx.array) -> Begun:
        """Begin a forward pass over tokens (B, T)."""
        with self.noise.applied():
            return super().begin(tokens)
