"""MLX's affine quantizer in NumPy, group by group as it is described; shares nothing with scorer.

The range runs from the group's end of larger magnitude, the scale is set so that this end and 0
are both hit exactly, and the codes are made before scale and bias are rounded to the dtype of the
input. The scale is negative where the larger end is positive.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST_SCALE = np.float32(1e-7)


@dataclass(frozen=True)
class Quantized:
    """Groups of one array.

    Attributes:
        codes: (…, D) integers in [0, 2^bits − 1].
        scales: (…, D / group) in the dtype of the input.
        biases: (…, D / group) in the dtype of the input.
        bits: Bits a code.
    """

    codes: NDArray[np.uint32]
    scales: NDArray[np.floating]
    biases: NDArray[np.floating]
    bits: int

    @property
    def words(self) -> NDArray[np.uint32]:
        """(…, D · bits / 32) uint32: codes one after the other, lowest bit first."""
        stream = (self.codes[..., None] >> np.arange(self.bits, dtype=np.uint32)) & 1
        rows = stream.reshape(*self.codes.shape[:-1], -1).astype(np.uint8)
        return np.packbits(rows, axis=-1, bitorder="little").view("<u4")

    @property
    def values(self) -> NDArray[np.floating]:
        """(…, D): code · scale + bias, each step rounded to the dtype of the scales."""
        group = self.codes.shape[-1] // self.scales.shape[-1]
        scales, biases = (np.repeat(x, group, axis=-1) for x in (self.scales, self.biases))
        return self.codes.astype(scales.dtype) * scales + biases


def quantize(x: NDArray[np.floating], bits: int, group: int) -> Quantized:
    """Quantize the last axis of x (…, D) in groups."""
    groups = x.astype(np.float32).reshape(*x.shape[:-1], -1, group)
    levels = np.float32(2**bits - 1)
    high, low = groups.max(axis=-1), groups.min(axis=-1)
    below = np.abs(low) > np.abs(high)
    scale = np.maximum((high - low) / levels, SMALLEST_SCALE)
    scale = np.where(below, scale, -scale)
    edge = np.where(below, low, high)
    steps = np.rint(edge / scale)
    hits = steps != 0
    scale = np.where(hits, edge / np.where(hits, steps, 1), scale)
    bias = np.where(hits, edge, np.float32(0))
    codes = np.rint((groups - bias[..., None]) / scale[..., None])
    return Quantized(
        codes=np.clip(codes, 0, levels).astype(np.uint32).reshape(x.shape),
        scales=scale.astype(x.dtype),
        biases=bias.astype(x.dtype),
        bits=bits,
    )


def round_trip(x: NDArray[np.floating], bits: int, group: int) -> NDArray[np.floating]:
    """What is left of x after quantizing; 16 bits leave all of it."""
    return x if bits == 16 else quantize(x, bits, group).values
