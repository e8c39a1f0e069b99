"""MLX's affine quantizer by MLX's own operations, on any device."""

from __future__ import annotations

from functools import cache

import mlx.core as mx

from scorer.device.current import current_device
from scorer.quantizers.base import Quantizer, Stored


class Affine(Quantizer):
    """``code · scale + bias`` with a scale and a bias per group of elements.

    Stored are codes (…, T, D · bits / 32) uint32, scales and biases (…, T, D / group) in the
    dtype of the vectors.
    """

    def quantize(self, x: mx.array) -> Stored:
        """Codes uint32, scales and biases in the dtype of x (…, T, D), see :class:`Affine`."""
        codes, scales, biases = mx.quantize(x, group_size=self.group_size, bits=self.bits)
        return codes, scales, biases

    def dequantize(self, stored: Stored) -> mx.array:
        """The vectors (…, T, D) that codes stand for, in the dtype of their scales."""
        codes, scales, biases = stored
        return mx.dequantize(codes, scales, biases, group_size=self.group_size, bits=self.bits)

    def matmul(self, x: mx.array, stored: Stored, *, transpose: bool) -> mx.array:
        """Product (…, L, T) or (…, L, D) in the dtype of ``x``, see :meth:`Quantizer.matmul`."""
        tokens = stored[0].shape[-2]
        padded = needs_odd_length() and tokens % 2 == 0
        if padded:
            # Codes, scale and bias of 0 stand for a token of zeros.
            stored = tuple(_with_zeros(array, -2) for array in stored)
            x = x if transpose else _with_zeros(x, -1)
        codes, scales, biases = stored
        product = mx.quantized_matmul(
            x,
            codes,
            scales,
            biases,
            transpose=transpose,
            group_size=self.group_size,
            bits=self.bits,
        )
        return product[..., :tokens] if transpose and padded else product


def _with_zeros(array: mx.array, axis: int) -> mx.array:
    """An array (…, T, n) of any dtype with one more entry of zeros at the end of an axis."""
    shape = list(array.shape)
    shape[axis] = 1
    return mx.concatenate([array, mx.zeros(shape, array.dtype)], axis=axis)


@cache
def needs_odd_length() -> bool:
    """Whether this device multiplies codes rightly only where the number of tokens is odd.

    Measured on an H100 with mlx-cuda-13 0.32.4: over 512, 508 and 504 tokens of two KV heads the
    product with the transposed codes has a relative error of 1 to 1.4 and nothing is raised; over
    511 it is 2e-4. The kernel for aligned rows is at fault, and an odd length never selects it.
    """
    return current_device() == "cuda"
