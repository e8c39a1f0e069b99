"""Attention of long chunks in blocks of queries, so that scores never exist for a whole chunk.

MLX writes scores out, queries × keys for every head, where it has no fused kernel: on the CPU, for
quantized keys, for unusual head dimensions. Each query's output depends on its own scores alone, so
a block of queries gives what the whole gives; under a causal mask the keys behind the block's last
query are left out as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal

import mlx.core as mx
from mlx_lm.models import base as mlx_lm_base

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
        queries: (B, Hq, L, Dk).
        keys: (B, Hkv, T, Dk) as an array or as codes, scales and biases.
        values: (B, Hkv, T, Dv), likewise.
        mask: None, ``"causal"``, or an array that broadcasts to (B, Hq, L, T).

    Returns:
        (B, Hq, L, Dv).
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


@contextmanager
def attention_in_blocks() -> Iterator[None]:
    """Let MLX's own attention and mlx-lm's quantized one go in blocks inside the block."""
    dense = mx.fast.scaled_dot_product_attention
    quantized = mlx_lm_base.quantized_scaled_dot_product_attention

    def attend_dense(
        q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Any = None, **options: Any
    ) -> mx.array:
        def attend(q: mx.array, k: mx.array, v: mx.array, mask: Any) -> mx.array:
            out: mx.array = dense(q, k, v, scale=scale, mask=mask, **options)
            return out

        if _is_fused(q, v, mask):
            return attend(q, k, v, mask)
        return in_query_blocks(attend, q, k, v, mask)

    def attend_quantized(
        queries: mx.array,
        q_keys: Any,
        q_values: Any,
        scale: float,
        mask: Any,
        group_size: int = 64,
        bits: int = 8,
    ) -> mx.array:
        def attend(q: mx.array, k: Any, v: Any, mask: Any) -> mx.array:
            out: mx.array = quantized(
                q, k, v, scale=scale, mask=mask, group_size=group_size, bits=bits
            )
            return out

        return in_query_blocks(attend, queries, q_keys, q_values, mask)

    mx.fast.scaled_dot_product_attention = attend_dense
    mlx_lm_base.quantized_scaled_dot_product_attention = attend_quantized
    try:
        yield
    finally:
        mx.fast.scaled_dot_product_attention = dense
        mlx_lm_base.quantized_scaled_dot_product_attention = quantized


def _is_fused(queries: mx.array, values: mx.array, mask: Any) -> bool:
    """Whether this device computes attention of these heads without writing scores out."""
    if mx.default_device() != mx.gpu:
        return False
    kind: Literal["cuda", "metal"] = "cuda" if mx.cuda.is_available() else "metal"
    if kind == "cuda" and (queries.dtype == mx.float32 or isinstance(mask, mx.array)):
        return False
    dim = queries.shape[-1]
    return dim == values.shape[-1] and dim in FUSED_DIMENSIONS[kind]
