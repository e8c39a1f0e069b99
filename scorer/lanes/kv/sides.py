"""One side, keys or values, of one cache: what quantizes it and what was done with it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import mlx.core as mx

from scorer.quantizers.base import Quantizer, Stored, check_of
from scorer.quantizers.choose import quantizer_for
from scorer.spec.settings.kv import FULL_PRECISION
from scorer.spec.sides import LayerSides, StoredSide

SideName = Literal["k", "v"]


@dataclass(frozen=True, slots=True)
class CachePlace:
    """Where a cache of keys and values stands in its model.

    Attributes:
        index: Place among the layers of the model's geometry; None for a cache that the model
            makes and never fills.
        label: Place in the model's own list of caches: ``3``, or ``3.1`` inside a composite cache.
    """

    index: int | None
    label: str


@dataclass(slots=True)
class Side:
    """The keys or the values of one cache.

    Attributes:
        place: Where the cache stands.
        name: ``k`` or ``v``.
        quantizer: What quantizes it, or None for full precision.
        bits: Bits per element, 16 for full precision.
        group_size: Elements that share the parameters of a code, as the setting says.
        tokens: Tokens quantized so far.
        checks: Of :meth:`Quantizer.round_trip`, one for each call, (2,) or (N, 2), bool or uint8;
            to be evaluated with the pass.
    """

    place: CachePlace
    name: SideName
    quantizer: Quantizer | None
    bits: int
    group_size: int
    tokens: int = 0
    checks: list[mx.array] = field(default_factory=list)

    @property
    def quantizes(self) -> bool:
        """Whether this side is stored with fewer than 16 bits."""
        return self.quantizer is not None

    def round_trip(self, x: mx.array) -> mx.array:
        """Quantize and dequantize x (…, T, D); the result has its shape and dtype.

        Full precision and a width of 0 pass through.
        """
        if self.quantizer is None or x.shape[-1] == 0:
            return x
        restored, check = self.quantizer.round_trip(x)
        self.tokens += x.shape[-2]
        self.checks.append(check)
        return restored

    def stored(self, x: mx.array) -> Stored | mx.array:
        """What a cache of codes stores.

        Args:
            x: (…, T, D) in the compute dtype.

        Returns:
            Codes (…, T, D · bits / 32) uint32, scales and biases (…, T, D / group) in the dtype of
            ``x``; ``x`` itself at full precision.
        """
        if self.quantizer is None:
            return x
        stored = self.quantizer.quantize(x)
        self.tokens += x.shape[-2]
        self.checks.append(check_of(x, self.quantizer.dequantize(stored)))
        return stored


def sides_of(described: LayerSides, place: CachePlace, arithmetic: str) -> tuple[Side, Side]:
    """The keys' and the values' side of one cache, as a setting describes them.

    The one place that turns descriptions into quantizers.

    Args:
        described: What the setting says of this cache.
        place: Where the cache stands.
        arithmetic: ``numpy`` or ``mlx``, what computes the model that fills the cache.
    """
    known = described.keys.quantizer or described.values.quantizer
    group_size = 0 if known is None else known.group_size

    def side(name: SideName, stored: StoredSide) -> Side:
        if stored.quantizer is None:
            return Side(place, name, None, FULL_PRECISION, group_size)
        quantizer = quantizer_for(stored.quantizer, arithmetic)
        return Side(place, name, quantizer, stored.quantizer.bits, stored.quantizer.group_size)

    return side("k", described.keys), side("v", described.values)
