"""The fused kernel built and checked on this device before its numbers are believed."""

from __future__ import annotations

from functools import cache
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.common.device_kind import DeviceKind
from scorer.common.error_text import first_line
from scorer.common.switches import is_enabled
from scorer.metrics.definition import Reference, TileScalars
from scorer.metrics.fused_kernel import (
    KL,
    QUANT_LOG_SUM,
    QUANT_TARGET,
    REF_LOG_SUM,
    REF_TARGET,
    FusedKernel,
)

VARIABLE = "QFID_METRICS"
# A GPU's exponentials are good to 2e-7, its sums run in float32; a wrong kernel is off by far more.
_TOLERANCE = 2e-5
_FLOATS = ("kl", "nll_ref", "nll_quant", "top_ref_logprob", "top_quant_logprob")


def usable_kernel(device: DeviceKind, dtype: mx.Dtype) -> tuple[FusedKernel | None, str]:
    """The fused kernel for logits of a dtype, where this device computes rightly with it.

    Built and checked once per process and dtype.

    Returns:
        The kernel, or None and why not: one line.
    """
    if device == "cpu":
        return None, "the CPU reduces logits in NumPy"
    if not is_enabled(VARIABLE, "fused"):
        return None, f"switched off by {VARIABLE}"
    return _checked(device, dtype)


@cache
def _checked(device: DeviceKind, dtype: mx.Dtype) -> tuple[FusedKernel | None, str]:
    try:
        kernel = FusedKernel("cuda" if device == "cuda" else "metal")
        error = worst_error(kernel, dtype)
    except (RuntimeError, ValueError, OSError) as failure:
        return None, f"it does not build here: {first_line(failure)}"
    if not error <= _TOLERANCE:
        return None, f"it computes wrongly here, off by {error:.3g} nats"
    return kernel, "built and checked on this device"


def worst_error(kernel: FusedKernel, dtype: mx.Dtype) -> float:
    """Largest deviation from the float64 definition over rows meant to be hard.

    Rows have 2 to 5 003 columns and begin at every alignment.

    Args:
        kernel: The kernel.
        dtype: Of the logits.

    Returns:
        Deviations in nats, relative where the value is above 1; infinite where an infinity, a NaN
        or a top token differs.
    """
    return max(_error(kernel, dtype, columns) for columns in (2, 7, 1031, 4096, 5003))


def _error(kernel: FusedKernel, dtype: mx.Dtype, columns: int) -> float:
    p, q = (mx.array(rows).astype(dtype) for rows in hard_rows(columns))
    targets = np.arange(p.shape[0]) % columns
    asked = mx.array(targets.astype(np.int32))
    made = kernel.against(kernel.reference(p, asked), p, q, asked)
    got = tile_scalars(np.array(made.values), np.array(made.tops))
    wide = [np.array(rows.astype(mx.float32)) for rows in (p, q)]
    expected = Reference(wide[0], targets, plain=True).compare(wide[1])
    return _deviation(got, expected)


def _deviation(got: TileScalars, expected: TileScalars) -> float:
    worst = 0.0
    for name in _FLOATS:
        a, b = getattr(got, name), getattr(expected, name)
        finite = np.isfinite(b)
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return np.inf
        apart = np.abs(a[finite] - b[finite]) / np.maximum(1, np.abs(b[finite]))
        # A NaN among them is a NaN here, which no tolerance lets pass.
        worst = max(worst, float(apart.max(initial=0)))
        if np.isnan(apart).any():
            return np.inf
    ordered = np.isfinite(expected.kl)
    same = all(
        np.array_equal(getattr(got, name)[ordered], getattr(expected, name)[ordered])
        for name in ("top_ref", "top_quant")
    )
    return worst if same else np.inf


def hard_rows(columns: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Pairs of rows: small and large drift, ±1e4, one-hot, flat, ties, −∞ and NaN.

    Args:
        columns: V, columns of a row.

    Returns:
        Logits of the reference and of the candidate, each (N, V) float32.
    """
    rng = np.random.default_rng(columns)
    drawn = 4 * rng.standard_normal(columns)
    hot = np.where(np.arange(columns) == columns // 3, 1e4, 0.0)
    steps = rng.integers(0, 3, columns)
    holed = np.where(np.arange(columns) == columns - 1, -np.inf, drawn)
    rows = [drawn, drawn + 1e4, hot, -hot, np.full(columns, 1 / 3), steps, -1e4 * steps]
    pairs = [(p, q) for p in rows for q in rows]
    pairs += [(drawn, drawn + drift * rng.standard_normal(columns)) for drift in (1e-3, 0.1, 3)]
    pairs += [(holed, drawn), (drawn, holed), (holed, holed)]
    pairs += [(drawn, np.where(steps == steps[0], np.nan, drawn))]
    p, q = (np.array(side, np.float32) for side in zip(*pairs, strict=True))
    return p, q


def tile_scalars(values: NDArray[Any], tops: NDArray[np.int32]) -> TileScalars:
    """The kernel's outputs, see :class:`FusedRows`, as the scalars of a tile.

    Args:
        values: (N, 7) float32.
        tops: (N, 2) int32.
    """
    values = values.astype(np.float64)
    return TileScalars(
        kl=values[:, KL],
        nll_ref=-values[:, REF_TARGET],
        nll_quant=-values[:, QUANT_TARGET],
        top_ref=tops[:, 0],
        top_ref_logprob=-values[:, REF_LOG_SUM],
        top_quant=tops[:, 1],
        top_quant_logprob=-values[:, QUANT_LOG_SUM],
    )
