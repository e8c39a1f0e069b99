"""MLX arrays of the CPU device seen as NumPy arrays without a copy, both ways."""

from __future__ import annotations

from typing import Any, cast

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray


def host_view(array: mx.array) -> NDArray[Any]:
    """The array's own memory, evaluated, with its strides; not to be written to."""
    view: NDArray[Any] = np.asarray(memoryview(cast(Any, array)))
    return view


def new_array(shape: tuple[int, ...]) -> tuple[mx.array, NDArray[np.float32]]:
    """A float32 MLX array of ``shape`` and its memory, to be filled before MLX reads it.

    MLX recycles its buffers; a fresh NumPy array of megabytes costs a page fault every 4 KiB and
    a copy.
    """
    array = mx.zeros(shape, mx.float32)
    mx.eval(array)
    return array, host_view(array)
