"""NumPy views of MLX arrays of the CPU device, without a copy."""

from __future__ import annotations

from typing import Any, cast

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray


def host_view(array: mx.array) -> NDArray[Any]:
    """Return a read-only view of an evaluated array: same shape (…,), dtype and strides."""
    view: NDArray[Any] = np.asarray(memoryview(cast(Any, array)))
    return view


def new_array(shape: tuple[int, ...], *needed: mx.array) -> tuple[mx.array, NDArray[np.float32]]:
    """Return a new MLX array and a NumPy view to fill it, before MLX reads it.

    MLX reuses its buffers. A new NumPy array of megabytes costs a page fault every 4 KiB, and
    a copy into MLX.

    Args:
        shape: Shape of the array.
        needed: Arrays that are evaluated with it: each evaluation waits for MLX's thread once.

    Returns:
        The array and the view, both (*shape,) float32.
    """
    array = mx.zeros(shape, mx.float32)
    mx.eval(array, *needed)
    return array, host_view(array)
