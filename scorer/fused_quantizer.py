"""The quantizer's round trip on a GPU in one kernel: quantize, dequantize, and look at the result.

MLX takes two kernels for the round trip and six more to see that the input was finite and that
anything changed, for keys and for values of every layer. One kernel that reads the elements once
gives the same bits; where it does not, MLX's own are used.
"""

from __future__ import annotations

import hashlib
from functools import cache
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.fused_kernel import Shell, fused_source, fused_wanted

VARIABLE = "QFID_QUANTIZER"
_THREADS = 256
_LANES = 32
_WAYS = (0, 1, 2)
_GROUPS = (32, 64, 128)


class FusedQuantizer:
    """The kernel on this device.

    Args:
        shell: Which of the two to build.

    Raises:
        RuntimeError: MLX has no such backend here.
    """

    def __init__(self, shell: Shell) -> None:
        header = fused_source(f"{shell}_affine_header", "affine")
        body = fused_source(f"{shell}_affine_groups")
        # MLX keeps compiled kernels on disk by name alone: another source is another name.
        digest = hashlib.sha256((header + body).encode()).hexdigest()[:12]
        build = mx.fast.cuda_kernel if shell == "cuda" else mx.fast.metal_kernel
        self._kernel: Any = build(
            name=f"qfid_affine_{digest}",
            input_names=["x", "levels"],
            output_names=["restored", "flags"],
            header=header,
            source=body,
        )

    def round_trip(
        self, x: mx.array, bits: int, group_size: int, way: int = 0
    ) -> tuple[mx.array, mx.array]:
        """Quantize and dequantize.

        Args:
            x: (…, D), float32, float16 or bfloat16, D a multiple of the group size.
            bits: Bits a code.
            group_size: Elements that share a scale and a bias: 32, 64 or 128.
            way: How a code's value is rounded, see ``fused/affine.h``.

        Returns:
            What is restored, as ``x``; (2,) uint32: whether any element was not finite, whether
            any was changed.
        """
        groups = x.size // group_size
        restored, flags = self._kernel(
            inputs=[x.reshape(groups, group_size), mx.array([2.0**bits - 1], mx.float32)],
            template=[("T", x.dtype), ("EACH", group_size // _LANES), ("WAY", way)],
            grid=(groups * _LANES, 1, 1),
            threadgroup=(_THREADS, 1, 1),
            output_shapes=[(groups, group_size), (2,)],
            output_dtypes=[x.dtype, mx.uint32],
            init_value=0,
        )
        return restored.reshape(x.shape), flags


def fused_round_trip(x: mx.array, bits: int, group_size: int) -> tuple[mx.array, mx.array] | None:
    """The round trip by the kernel; None where MLX's own operations have to do it.

    Arguments and result are those of :meth:`FusedQuantizer.round_trip`.
    """
    if mx.default_device() != mx.gpu or group_size not in _GROUPS or x.size == 0:
        return None
    found, _ = usable_quantizer("cuda" if mx.cuda.is_available() else "metal", x.dtype)
    return None if found is None else found[0].round_trip(x, bits, group_size, found[1])


def usable_quantizer(
    shell: Shell, dtype: mx.Dtype
) -> tuple[tuple[FusedQuantizer, int] | None, str]:
    """The kernel for a dtype, and its way of rounding, where it gives MLX's own bits here.

    Built and checked once per process and dtype.

    Returns:
        The two, or None; and why, in one line.
    """
    if not fused_wanted(VARIABLE):
        return None, f"switched off by {VARIABLE}"
    return _checked(shell, dtype)


@cache
def _checked(shell: Shell, dtype: mx.Dtype) -> tuple[tuple[FusedQuantizer, int] | None, str]:
    try:
        kernel = FusedQuantizer(shell)
        for way in _WAYS:
            if _is_mlxs(kernel, dtype, way):
                return (kernel, way), "built and checked on this device"
    except (RuntimeError, ValueError, OSError) as failure:
        lines = str(failure).strip().splitlines() or [type(failure).__name__]
        return None, f"it does not build here: {lines[0]}"
    return None, "its bits are not those of MLX's quantizer here"


def _is_mlxs(kernel: FusedQuantizer, dtype: mx.Dtype, way: int) -> bool:
    """Whether the kernel gives MLX's bits for every width and group over rows meant to be hard."""
    x = mx.array(hard_rows()).astype(dtype)
    spoilt = mx.where(mx.arange(x.size).reshape(x.shape) == x.size // 3, mx.nan, x)
    if np.array(kernel.round_trip(spoilt, 8, 64, way)[1])[0] == 0:
        return False
    for group in _GROUPS:
        for bits in (2, 3, 4, 5, 6, 8):
            codes = mx.quantize(x, group_size=group, bits=bits)
            expected = mx.dequantize(*codes, group_size=group, bits=bits)
            restored, flags = kernel.round_trip(x, bits, group, way)
            if not mx.array_equal(restored, expected) or np.array(flags).tolist() != [0, 1]:
                return False
    zeros = mx.zeros((3, 128), dtype)
    return bool(np.array(kernel.round_trip(zeros, 4, 64, way)[1]).tolist() == [0, 0])


def hard_rows() -> NDArray[np.float32]:
    """Rows (N, 128): ordinary, zero, constant, of one sign, tiny and large, with ties."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((1024, 128)).astype(np.float32)
    x[0], x[1], x[2], x[3] = 0, 2.5, -2.5, 1e-6
    x[4:40], x[40:80] = np.abs(x[4:40]), -np.abs(x[40:80]) - 1
    x[80:120] *= 1e3
    x[120:160] = rng.integers(-7, 8, (40, 128)) / 2
    x[160:200] += rng.standard_normal((40, 1)).astype(np.float32) * 20
    return x
