"""Work for the device while the host goes on, and its small results read in one piece."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray


def begin(*arrays: mx.array) -> None:
    """Let the device compute arrays; whoever reads one waits for it."""
    cast(Any, mx).async_eval(*arrays)


def wait(*arrays: mx.array) -> None:
    """Wait for arrays."""
    mx.eval(*arrays)


def begin_reading(arrays: Sequence[mx.array]) -> Callable[[], list[NDArray[Any]]]:
    """Let the device compute arrays and lay them out as one; the result reads that one.

    On CUDA MLX moves every array that the host looks at into memory of both, and the device waits
    while that is allocated.

    Args:
        arrays: Of any shapes, of dtypes that NumPy has.
    """
    if not arrays:
        return list
    shapes = [(array.shape, np.dtype(str(array.dtype).rpartition(".")[2])) for array in arrays]
    joined = mx.concatenate([mx.view(array.reshape(-1), mx.uint8) for array in arrays])
    begin(joined)

    def read() -> list[NDArray[Any]]:
        data = np.array(joined)
        ends = np.cumsum([array.nbytes for array in arrays]).tolist()
        return [
            data[end - array.nbytes : end].view(dtype).reshape(shape)
            for array, end, (shape, dtype) in zip(arrays, ends, shapes, strict=True)
        ]

    return read
