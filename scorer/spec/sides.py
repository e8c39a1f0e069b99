"""What keys and values of each cache are stored as under a setting."""

from __future__ import annotations

from dataclasses import dataclass

from scorer.spec.quantizers.base import Quantizer


@dataclass(frozen=True, slots=True)
class StoredSide:
    """How the keys, or the values, of one cache are stored.

    Attributes:
        quantizer: The quantizer; None for full precision.
        start: First tokens that stay at full precision until the whole cache converts; 0 where
            the side quantizes from the first token, or never.
    """

    quantizer: Quantizer | None = None
    start: int = 0

    @property
    def is_quantized(self) -> bool:
        """Whether a quantizer stores it."""
        return self.quantizer is not None

    @property
    def bytes_per_element(self) -> float:
        """Stored bytes per element at the 16-bit deployment dtype."""
        return 2.0 if self.quantizer is None else self.quantizer.bytes_per_element


UNQUANTIZED = StoredSide()
"""A side at full precision."""


@dataclass(frozen=True, slots=True)
class LayerSides:
    """How one cache of a model is stored.

    Attributes:
        keys: Its keys.
        values: Its values.
    """

    keys: StoredSide
    values: StoredSide


FULL_CACHE = LayerSides(UNQUANTIZED, UNQUANTIZED)
"""A cache without quantization."""
