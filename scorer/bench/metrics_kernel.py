"""How fast the fused metrics kernel reads, beside a copy on the same card."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import mlx.core as mx

from scorer.common.device_kind import DeviceKind
from scorer.device.dispatch import dispatch
from scorer.metrics.fused_selftest import usable_kernel

_ROWS = 511
# As many as make launching and waiting nothing beside them.
_CALLS = 100
_REPEATS = 3


def kernel_speed(device: DeviceKind, vocab: int, dtype_name: str) -> dict[str, float] | None:
    """Time the kernel on random pairs of rows.

    Args:
        device: Where.
        vocab: Columns.
        dtype_name: Of the logits.

    Returns:
        ``seconds`` of 511 pairs of rows, the reference's part given; ``bytes_per_s`` read by it
        and ``copy_bytes_per_s`` read and written by a copy of the same rows. None where the device
        has no such kernel.
    """
    dtype: mx.Dtype = getattr(mx, dtype_name)
    kernel, _ = usable_kernel(device, dtype)
    if kernel is None:
        return None
    p, q = (mx.random.normal((_ROWS, vocab), dtype=dtype) for _ in range(2))
    targets = mx.zeros(_ROWS, mx.int32)
    given = kernel.reference(p, targets)
    mx.eval(p, q, targets, *given)
    seconds = _best(lambda: kernel.against(given, p, q, targets))
    copying = _best(lambda: [mx.concatenate([p, q])])
    read = 2 * p.nbytes
    return {
        "seconds": seconds,
        "bytes_per_s": read / seconds,
        "copy_bytes_per_s": 2 * read / copying,
    }


def _best(work: Callable[[], Sequence[mx.array]]) -> float:
    """Seconds a call, of calls that the device does one after the other."""
    mx.eval(*work())
    best = float("inf")
    for _ in range(_REPEATS):
        start = time.perf_counter()
        for _ in range(_CALLS):
            made = work()
            dispatch(*made)
        mx.eval(*made)
        best = min(best, time.perf_counter() - start)
    return best / _CALLS
