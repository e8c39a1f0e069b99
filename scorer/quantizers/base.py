"""What a cache asks of a quantizer."""

from __future__ import annotations

from abc import ABC, abstractmethod

import mlx.core as mx

Stored = tuple[mx.array, ...]
"""What is kept of quantized vectors: arrays (…, T, n), T being the axis of the tokens.

So any quantizer's stored tokens can be counted, cut and appended without knowing it.
"""


class Quantizer(ABC):
    """Turns vectors into fewer bits and back, each token apart from all others.

    Subclasses compute the same function, bit for bit, where they differ only in what computes it.

    Attributes:
        bits: Bits of a code.
        group_size: Elements that share the parameters of a code.
    """

    def __init__(self, bits: int, group_size: int) -> None:
        self.bits = bits
        self.group_size = group_size

    @abstractmethod
    def quantize(self, x: mx.array) -> Stored:
        """Quantize vectors.

        Args:
            x: (…, T, D), float32, float16 or bfloat16, D a multiple of the group size.

        Returns:
            What is stored: arrays (…, T, n); affine codes are uint32, their scales and biases in
            the dtype of ``x``.
        """

    @abstractmethod
    def dequantize(self, stored: Stored) -> mx.array:
        """The vectors (…, T, D) that stored arrays (…, T, n) encode, in the dtype of the scales."""

    @abstractmethod
    def matmul(self, x: mx.array, stored: Stored, *, transpose: bool) -> mx.array:
        """Product with stored vectors, which are not dequantized in memory.

        Args:
            x: (…, L, D) if ``transpose``, else (…, L, T), in the compute dtype.
            stored: What is stored of vectors (…, T, D) in the dtype of ``x``, of the same leading
                dimensions.
            transpose: Multiply by the transposed vectors.

        Returns:
            (…, L, T) if ``transpose``, else (…, L, D), in the dtype of ``x``.
        """

    def round_trip(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """Quantize and dequantize.

        Args:
            x: (…, T, D), float32, float16 or bfloat16, D a multiple of the group size.

        Returns:
            What is restored, in the shape and dtype of ``x``; and a check, (2,) bool, or (N, 2)
            uint8 for N parts of ``x``: whether any element was not finite, whether any was changed.
        """
        restored = self.dequantize(self.quantize(x))
        return restored, check_of(x, restored)


def check_of(x: mx.array, restored: mx.array) -> mx.array:
    """Compare vectors (…, T, D) with what is restored of them, in the same shape and dtype.

    MLX's quantizer does not propagate NaN, so the vectors themselves are checked.

    Returns:
        (2,) bool: whether any element of ``x`` is not finite, whether any of ``restored`` differs.
    """
    return mx.stack([mx.logical_not(mx.isfinite(x).all()), (restored != x).any()])
