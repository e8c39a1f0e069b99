"""MLX's affine quantizer and its inverse in NumPy, for the CPU device.

MLX quantizes one element at a time there: three milliseconds for the keys of one layer of a small
model, a tenth of a forward pass in all. The rule is MLX's to the bit (``mlx/backend/cpu/quantized``
of MLX 0.32): a group's range runs from its end of larger magnitude, so that this end and 0 are both
hit exactly, and codes are made before anything is rounded.
"""

from __future__ import annotations

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.device.host_views import host_view, new_array
from scorer.device.threads import run_each, thread_count
from scorer.quantizers.affine import Affine

# Elements of a block, at most: more leave the processor's cache. Fewer than a thread's share cost
# more in calls than they gain.
_BLOCK = 65_536
_SMALLEST_SCALE = np.float32(1e-7)

Values = NDArray[np.float32]


class AffineNumpy(Affine):
    """MLX's affine quantizer with its round trip in NumPy; codes alone are left to MLX."""

    def round_trip(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """Quantize and dequantize x (…, T, D) of any float dtype, see :meth:`Quantizer.round_trip`.

        Dtypes other than float32 are left to MLX.
        """
        if x.dtype != mx.float32 or x.size == 0:
            return super().round_trip(x)
        return _round_trip(x, self.bits, self.group_size)


def _round_trip(x: mx.array, bits: int, group_size: int) -> tuple[mx.array, mx.array]:
    """What is restored of x (…, D) float32, in its shape, and the check of it, (2,) bool."""
    source = mx.contiguous(x)
    array, memory = new_array(x.shape, source)
    groups = host_view(source).reshape(-1, group_size)
    out = memory.reshape(-1, group_size)
    levels = np.float32(2**bits - 1)
    step = min(max(1, _BLOCK // group_size), -(-len(groups) // thread_count()))
    finite, changed = [], []

    def block(start: int) -> None:
        part = slice(start, start + step)
        with np.errstate(all="ignore"):
            finite.append(_restore(out[part], groups[part], levels))
        changed.append(_differ(out[part], groups[part]))

    run_each(block, range(0, len(groups), step), x.size)
    return array, mx.array([not all(finite), any(changed)])


def _differ(out: Values, groups: Values) -> bool:
    """Whether any element of two arrays (N, group) float32 differs; mostly an early one does."""
    return bool((out[:8] != groups[:8]).any() or (out != groups).any())


def _restore(out: Values, groups: Values, levels: np.float32) -> bool:
    """Quantize and dequantize groups.

    Args:
        out: (N, group) float32, filled with what is restored.
        groups: (N, group) float32.
        levels: The largest code.

    Returns:
        Whether all elements of ``groups`` are finite.
    """
    # Ends of rows this short are found twice as fast in one line of elements.
    line, starts = groups.reshape(-1), np.arange(0, groups.size, groups.shape[1])
    high, low = np.maximum.reduceat(line, starts), np.minimum.reduceat(line, starts)
    below = np.abs(low) > np.abs(high)
    scale = np.maximum((high - low) / levels, _SMALLEST_SCALE)
    np.negative(scale, out=scale, where=~below)
    edge = np.where(below, low, high)
    steps = np.rint(edge / scale)
    hits = steps != 0
    np.divide(edge, steps, out=scale, where=hits)
    scale, bias = scale[:, None], np.where(hits, edge, np.float32(0))[:, None]
    np.subtract(groups, bias, out=out)
    out /= scale
    np.rint(out, out=out)
    np.clip(out, np.float32(0), levels, out=out)
    out *= scale
    out += bias
    # Not a number is the largest and the smallest of its group.
    return bool(np.isfinite(high).all() and np.isfinite(low).all())
