"""Attention over quantized keys and values by quantized matmuls, as a runtime computes it."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from scorer.lm.attention_blocks import in_query_blocks
from scorer.quantizers.base import Quantizer, Stored

Quantizers = tuple[Quantizer | None, Quantizer | None]
Held = Stored | mx.array


def attend_codes(
    queries: mx.array, quantizers: Quantizers, scale: float, mask: Any, keys: Held, values: Held
) -> mx.array:
    """Attention over codes with quantized matmuls, query heads grouped over their KV head.

    The keys are never broadcast: CUDA has no quantized matmul for broadcast batch dimensions, so
    queries (B, Hq, L, D) become (B, Hkv, Hq/Hkv · L, D) instead. Long chunks go in blocks of
    queries.

    Args:
        queries: (B, Hq, L, Dk) in the compute dtype, unscaled.
        quantizers: Of keys and of values, None for a side that is an array.
        scale: Factor on the scores.
        mask: None, ``"causal"``, or a mask that broadcasts to (B, Hq, L, T) or (L, T): bool, or
            additive in the compute dtype.
        keys: (B, Hkv, T, Dk) in the compute dtype, or what is stored of them: codes
            (B, Hkv, T, Dk · bits / 32) uint32, scales and biases (B, Hkv, T, Dk / group) in the
            compute dtype.
        values: (B, Hkv, T, Dv), likewise.

    Returns:
        (B, Hq, L, Dv) in the dtype of the queries.
    """

    def attend(queries: mx.array, keys: Any, values: Any, mask: Any) -> mx.array:
        return _attend(queries, quantizers, scale, mask, keys, values)

    return in_query_blocks(attend, queries, keys, values, mask)


def _attend(
    queries: mx.array, quantizers: Quantizers, scale: float, mask: Any, keys: Held, values: Held
) -> mx.array:
    """One block of queries, see :func:`attend_codes` for shapes and dtypes."""
    batch, heads, length, dim = queries.shape
    kv_heads = (keys[0] if isinstance(keys, tuple) else keys).shape[1]
    repeats = heads // kv_heads
    grouped = (queries * scale).reshape(batch, kv_heads, repeats * length, dim)
    scores = _product(grouped, keys, quantizers[0], transpose=True)
    total = scores.shape[-1]
    scores = scores.reshape(batch, kv_heads, repeats, length, total)
    scores = _masked(scores, mask)
    weights = mx.softmax(scores, axis=-1, precise=True)
    weights = weights.reshape(batch, kv_heads, repeats * length, total)
    out = _product(weights, values, quantizers[1], transpose=False)
    return out.reshape(batch, heads, length, out.shape[-1])


def _product(x: mx.array, held: Held, quantizer: Quantizer | None, *, transpose: bool) -> mx.array:
    """Product with an array or with codes, see :meth:`Quantizer.matmul`; dtype of ``x``."""
    if not isinstance(held, tuple):
        return mx.matmul(x, held.swapaxes(-1, -2) if transpose else held)
    assert quantizer is not None
    return quantizer.matmul(x, held, transpose=transpose)


def _masked(scores: mx.array, mask: Any) -> mx.array:
    """Mask scores (B, Hkv, R, L, T) in the compute dtype, R the query heads of a KV head."""
    if mask is None:
        return scores
    if isinstance(mask, str):
        length, total = scores.shape[-2:]
        mask = mx.arange(total - length, total)[:, None] >= mx.arange(total)[None]
    elif mask.ndim == 4:
        if mask.shape[1] == 1:
            mask = mask[:, :, None]
        else:
            mask = mask.reshape(mask.shape[0], scores.shape[1], scores.shape[2], *mask.shape[2:])
    if mask.dtype == mx.bool_:
        return mx.where(mask, scores, mx.finfo(scores.dtype).min)
    return mx.add(scores, mask)
