"""Dispatches work to the device without waiting, and reads small results in one transfer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray


def dispatch(*arrays: mx.array) -> None:
    """Dispatch the computation of arrays without waiting; reading an array waits for it."""
    cast(Any, mx).async_eval(*arrays)


def wait(*arrays: mx.array) -> None:
    """Wait until the device has computed arrays."""
    mx.eval(*arrays)


def dispatch_read(arrays: Sequence[mx.array]) -> Callable[[], list[NDArray[Any]]]:
    """Dispatch the computation of arrays and their concatenation into one buffer.

    On CUDA, MLX moves every array that the host reads to unified memory, and the device waits for
    the allocation. One buffer needs one allocation.

    Args:
        arrays: Arrays of any shape (…,) and of dtypes that NumPy has.

    Returns:
        A function that waits for the buffer and returns NumPy arrays of the same shapes and dtypes.
    """
    if not arrays:
        return list
    shapes = [(array.shape, np.dtype(str(array.dtype).rpartition(".")[2])) for array in arrays]
    joined = mx.concatenate([mx.view(array.reshape(-1), mx.uint8) for array in arrays])
    dispatch(joined)

    def read() -> list[NDArray[Any]]:
        """Wait, then return arrays of the original shapes (…,) and dtypes."""
        data = np.array(joined)
        ends = np.cumsum([array.nbytes for array in arrays]).tolist()
        return [
            data[end - array.nbytes : end].view(dtype).reshape(shape)
            for array, end, (shape, dtype) in zip(arrays, ends, shapes, strict=True)
        ]

    return read
