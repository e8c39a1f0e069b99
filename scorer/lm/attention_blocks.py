"""Attention of long chunks in blocks of queries, so that scores never exist for a whole chunk.

MLX writes scores out, queries × keys for every head, where it has no fused kernel: on the CPU, for
quantized keys, for unusual head dimensions. Each query's output depends on its own scores alone, so
a block of queries gives what the whole gives; under a causal mask the keys behind the block's last
query are left out as well.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlx.core as mx

from scorer.device.current import current_device
from scorer.fit.memory_need import FUSED_DIMENSIONS, SCORES_BYTES

# Blocks are a multiple of this many queries.
_ROWS = 64

Attend = Callable[[mx.array, Any, Any, Any], mx.array]


def in_query_blocks(
    attend: Attend, queries: mx.array, keys: Any, values: Any, mask: Any
) -> mx.array:
    """Attention, block by block where its scores would take more than ``SCORES_BYTES``.

    Args:
        attend: Attention of (queries, keys, values, mask), the last query standing at the last
            key under a ``"causal"`` mask.
        queries: (B, Hq, L, Dk) in the compute dtype.
        keys: (B, Hkv, T, Dk) in the compute dtype, or codes (B, Hkv, T, Dk · bits / 32) uint32
            with scales and biases (B, Hkv, T, Dk / group) in the compute dtype.
        values: (B, Hkv, T, Dv), likewise.
        mask: None, ``"causal"``, or an array that broadcasts to (B, Hq, L, T): bool, or additive
            in the compute dtype.

    Returns:
        (B, Hq, L, Dv) in the dtype of the queries.
    """
    batch, heads, length, _ = queries.shape
    total = (keys if isinstance(keys, mx.array) else keys[0]).shape[-2]
    row_bytes = batch * heads * total * queries.dtype.size
    rows = max(_ROWS, SCORES_BYTES // row_bytes // _ROWS * _ROWS)
    if rows >= length:
        return attend(queries, keys, values, mask)
    blocks = []
    for start in range(0, length, rows):
        stop = min(start + rows, length)
        seen = total - length + stop if isinstance(mask, str) else total
        block = attend(
            queries[:, :, start:stop],
            _first(keys, seen),
            _first(values, seen),
            _mask_rows(mask, start, stop),
        )
        # Now: evaluated together, the scores of all blocks may exist at once.
        mx.eval(block)
        if current_device() == "cuda":
            # There the scores are let go a moment after the block is computed, by a thread of
            # MLX's own; this waits for it.
            mx.synchronize()
        blocks.append(block)
    return mx.concatenate(blocks, axis=2)


def _first(held: Any, tokens: int) -> Any:
    if isinstance(held, mx.array):
        return held[..., :tokens, :]
    return tuple(array[..., :tokens, :] for array in held)


def _mask_rows(mask: Any, start: int, stop: int) -> Any:
    if mask is None or isinstance(mask, str) or mask.ndim < 2 or mask.shape[-2] == 1:
        return mask
    return mask[..., start:stop, :]


def is_fused(queries: mx.array, values: mx.array, mask: Any) -> bool:
    """Whether this device computes attention of these heads without writing scores out.

    Args:
        queries: (B, Hq, L, Dk) in the compute dtype.
        values: (B, Hkv, T, Dv) in the compute dtype.
        mask: As :func:`in_query_blocks`.
    """
    kind = current_device()
    if kind == "cpu":
        return False
    if kind == "cuda" and (queries.dtype == mx.float32 or isinstance(mask, mx.array)):
        return False
    dim = queries.shape[-1]
    return dim == values.shape[-1] and dim in FUSED_DIMENSIONS[kind]
