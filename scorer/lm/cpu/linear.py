"""Linear layers by NumPy's own BLAS on the CPU device.

NumPy's wheels bring a tuned OpenBLAS for every processor. MLX multiplies with reference BLAS where
no other is installed, and with MKL an AMD processor reaches 75 to 110 GFLOP/s a core where OpenBLAS
reaches 100 to 125 (measured on an EPYC with AVX-512, both with one thread).
"""

from __future__ import annotations

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from scorer.device.host_views import host_view, new_array
from scorer.device.threads import run_each

# Columns of a block, at least: narrower ones read the input too often, wider ones share the work
# badly. OpenBLAS rounds products of another height otherwise, so that what is multiplied at once
# follows from the layer and the position in a chunk: not from threads or batch, nor, for whole
# blocks of rows, from the length.
_COLUMNS = 256
_BLOCKS = 64
_ROWS = 512


def linear(x: mx.array, weight: mx.array, bias: mx.array | None = None) -> mx.array | None:
    """A linear layer.

    Args:
        x: (…, K) float32.
        weight: (N, K) float32.
        bias: (N,) float32, or None.

    Returns:
        x · weightᵀ + bias, (…, N) float32; None for arguments that are left to MLX.
    """
    given = [x, weight] if bias is None else [x, weight, bias]
    if any(array.dtype != mx.float32 for array in given) or x.size == 0:
        return None
    if weight.ndim != 2 or x.ndim == 0 or x.shape[-1] != weight.shape[1]:
        return None
    columns, depth = weight.shape
    source = mx.contiguous(x)
    array, memory = new_array((*x.shape[:-1], columns), source, *given)
    length = x.shape[-2] if x.ndim > 1 else 1
    rows = host_view(source).reshape(-1, length, depth)
    matrix = host_view(weight)
    added = None if bias is None else host_view(bias)
    out = memory.reshape(-1, length, columns)
    step = max(_COLUMNS, columns // _BLOCKS // 16 * 16)

    def block(item: tuple[int, int]) -> None:
        chunk, start = item
        part = slice(start, start + step)
        with np.errstate(all="ignore"):
            for row in range(0, length, _ROWS):
                own = slice(row, row + _ROWS)
                np.matmul(rows[chunk, own], matrix[part].T, out=out[chunk, own, part])
            if added is not None:
                out[chunk, :, part] += added[part]

    items = [(chunk, start) for start in range(0, columns, step) for chunk in range(len(rows))]
    run_each(block, items, array.size)
    return array


def has_stacked_matrices(model: nn.Module) -> bool:
    """Whether a model has matrices that MLX multiplies: those of experts or heads, stacked.

    Args:
        model: Its weights are not looked at, only their shapes.
    """
    convolutions = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    return any(
        isinstance(value, mx.array) and value.ndim > 2
        for module in model.modules()
        if not isinstance(module, convolutions)
        for value in module.values()
    )
