"""The quantizer's round trip on a GPU in one kernel: quantize, dequantize, and look at the result.

MLX takes two kernels for the round trip and six more to see that the input was finite and that
anything changed, for keys and for values of every layer. One kernel that reads the elements once
gives the same bits; where it does not, MLX's own are used.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.common.device_kind import GpuKind
from scorer.common.error_text import first_line
from scorer.common.switches import is_enabled
from scorer.device.kernel_build import build_kernel, kernel_source
from scorer.quantizers.affine import Affine

VARIABLE = "QFID_QUANTIZER"
_FOLDER = Path(__file__).parent / "source"
_THREADS = 256
_WARP = 32
# Elements of a thread: 16 bytes of bfloat16.
_EACH = 8
# Modes of rounding a code's value, see `source/affine.h`.
_ROUNDINGS = (0, 1, 2)
GROUPS = (32, 64, 128)
"""Group sizes that the kernel knows."""


class FusedQuantizer:
    """The kernel on this device.

    Args:
        shell: Which of the two to build.

    Raises:
        RuntimeError: MLX has no such backend here.
    """

    def __init__(self, shell: GpuKind) -> None:
        self._kernel: Any = build_kernel(
            shell,
            "qfid_affine",
            header=kernel_source(_FOLDER, f"{shell}_affine_header", "affine"),
            body=kernel_source(_FOLDER, f"{shell}_affine_groups"),
            inputs=["x", "rule"],
            outputs=["restored", "flags"],
            # Values come as a view of another order; a copy would cost as much as the kernel.
            ensure_row_contiguous=False,
        )

    def round_trip(
        self, x: mx.array, bits: int, group_size: int, rounding: int = 0
    ) -> tuple[mx.array, mx.array]:
        """Quantize and dequantize.

        Args:
            x: (…, D), float32, float16 or bfloat16, D a multiple of the group size.
            bits: Bits a code.
            group_size: Elements that share a scale and a bias: 32, 64 or 128.
            rounding: How a code's value is rounded, see ``source/affine.h``.

        Returns:
            What is restored, as ``x``; (N, 2) uint8, for each part of ``x`` whether any element was
            not finite, and whether any was changed.
        """
        rows = x if x.ndim == 4 else x.reshape(1, 1, -1, x.shape[-1])
        threads = x.size // _EACH
        restored, flags = self._kernel(
            inputs=[rows, _rule(bits, group_size, rounding)],
            # One kernel for a dtype: each set of values would take seconds to compile.
            template=[("T", x.dtype), ("EACH", _EACH)],
            grid=(threads, 1, 1),
            threadgroup=(_THREADS, 1, 1),
            output_shapes=[x.shape, (-(-threads // _WARP), 2)],
            output_dtypes=[x.dtype, mx.uint8],
        )
        return restored, flags


class AffineFused(Affine):
    """MLX's affine quantizer with its round trip in one kernel; codes alone are left to MLX.

    Args:
        bits: Bits of a code.
        group_size: One of :data:`GROUPS`.
        shell: The kind of GPU.
    """

    def __init__(self, bits: int, group_size: int, shell: GpuKind) -> None:
        super().__init__(bits, group_size)
        self._shell: GpuKind = shell

    def round_trip(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """Quantize and dequantize x (…, T, D) of any float dtype, see :meth:`Quantizer.round_trip`.

        Where the kernel does not give MLX's bits on this device it is left to MLX.
        """
        if x.size:
            found, _ = usable_quantizer(self._shell, x.dtype, self.group_size)
            if found is not None:
                kernel, rounding = found
                return kernel.round_trip(x, self.bits, self.group_size, rounding)
        return super().round_trip(x)


def usable_quantizer(
    shell: GpuKind, dtype: mx.Dtype, group_size: int
) -> tuple[tuple[FusedQuantizer, int] | None, str]:
    """The kernel for a dtype and how it rounds, where it gives MLX's own bits here.

    Built and checked once per process, dtype and group size.

    Returns:
        The two, or None; and why, in one line.
    """
    if not is_enabled(VARIABLE, "fused"):
        return None, f"switched off by {VARIABLE}"
    return _checked(shell, dtype, group_size)


@cache
def _checked(
    shell: GpuKind, dtype: mx.Dtype, group_size: int
) -> tuple[tuple[FusedQuantizer, int] | None, str]:
    try:
        kernel = FusedQuantizer(shell)
        for rounding in _ROUNDINGS:
            if _is_mlxs(kernel, dtype, group_size, rounding):
                return (kernel, rounding), "built and checked on this device"
    except (RuntimeError, ValueError, OSError) as failure:
        return None, f"it does not build here: {first_line(failure)}"
    return None, "its bits are not those of MLX's quantizer here"


def _is_mlxs(kernel: FusedQuantizer, dtype: mx.Dtype, group: int, rounding: int) -> bool:
    """Whether the kernel gives MLX's bits for every width over rows meant to be hard."""
    x = mx.array(hard_rows()).astype(dtype)
    spoilt = mx.where(mx.arange(x.size).reshape(x.shape) == x.size // 3, mx.nan, x)
    if _seen(kernel.round_trip(spoilt, 8, group, rounding)[1])[0] == 0:
        return False
    for bits in (2, 3, 4, 5, 6, 8):
        codes = mx.quantize(x, group_size=group, bits=bits)
        expected = mx.dequantize(*codes, group_size=group, bits=bits)
        restored, flags = kernel.round_trip(x, bits, group, rounding)
        if not mx.array_equal(restored, expected) or _seen(flags) != [0, 1]:
            return False
        # Another order in memory, and rows that fill no whole block of threads.
        for view in (_as_values, lambda rows: rows[3:304]):
            part = kernel.round_trip(view(x), bits, group, rounding)[0]
            if not mx.array_equal(part, view(expected)):
                return False
    return _seen(kernel.round_trip(mx.zeros((3, 128), dtype), 4, group, rounding)[1]) == [0, 0]


def _as_values(x: mx.array) -> mx.array:
    """Rows (1024, D) as a layer's values (2, 8, 64, D) of the same dtype.

    Tokens come before heads in memory.
    """
    return x.reshape(2, 64, 8, -1).transpose(0, 2, 1, 3)


def _seen(flags: mx.array) -> list[int]:
    """The largest value of each column of flags (N, 2) uint8."""
    found: list[int] = np.array(flags).reshape(-1, 2).max(axis=0).tolist()
    return found


@cache
def _rule(bits: int, group_size: int, rounding: int) -> mx.array:
    """(3,) float32: codes above 0, threads of a group, how a code's value is rounded.

    Made once: what the host makes, a GPU has to fetch.
    """
    rule = mx.array([2.0**bits - 1, group_size // _EACH, rounding], mx.float32)
    mx.eval(rule)
    return rule


def hard_rows() -> NDArray[np.float32]:
    """Rows (1024, 128) float32: ordinary, zero, constant, of one sign, tiny, large, with ties."""
    rng = np.random.default_rng(7)
    x = rng.standard_normal((1024, 128)).astype(np.float32)
    x[0], x[1], x[2], x[3] = 0, 2.5, -2.5, 1e-6
    x[4:40], x[40:80] = np.abs(x[4:40]), -np.abs(x[40:80]) - 1
    x[80:120] *= 1e3
    x[120:160] = rng.integers(-7, 8, (40, 128)) / 2
    x[160:200] += rng.standard_normal((40, 1)).astype(np.float32) * 20
    return x
