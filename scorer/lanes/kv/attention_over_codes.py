"""Attention over quantized keys and values by quantized matmuls, as a runtime computes it."""

from __future__ import annotations

from functools import cache
from typing import Any

import mlx.core as mx

from scorer.lanes.kv.caches import Side
from scorer.lm.attention_blocks import in_query_blocks


def attend_codes(
    queries: mx.array, sides: tuple[Side, Side], scale: float, mask: Any, keys: Any, values: Any
) -> mx.array:
    """Attention over codes with quantized matmuls, query heads grouped over their KV head.

    The keys are never broadcast: CUDA has no quantized matmul for broadcast batch dimensions, so
    queries (B, Hq, L, D) become (B, Hkv, Hq/Hkv · L, D) instead. Long chunks go in blocks of
    queries.

    Args:
        queries: (B, Hq, L, Dk), unscaled.
        sides: The quantizers of keys and of values.
        scale: Factor on the scores.
        mask: None, ``"causal"``, a boolean or an additive mask that broadcasts to
            (B, Hq, L, T) or (L, T).
        keys: Codes or array of (B, Hkv, T, Dk).
        values: Codes or array of (B, Hkv, T, Dv).

    Returns:
        (B, Hq, L, Dv) in the dtype of the queries.
    """

    def attend(queries: mx.array, keys: Any, values: Any, mask: Any) -> mx.array:
        return _attend(queries, sides, scale, mask, keys, values)

    return in_query_blocks(attend, queries, keys, values, mask)


def _attend(
    queries: mx.array, sides: tuple[Side, Side], scale: float, mask: Any, keys: Any, values: Any
) -> mx.array:
    batch, heads, length, dim = queries.shape
    kv_heads = (keys[0] if isinstance(keys, tuple) else keys).shape[1]
    repeats = heads // kv_heads
    grouped = (queries * scale).reshape(batch, kv_heads, repeats * length, dim)
    scores = _times(grouped, keys, sides[0], transpose=True)
    total = scores.shape[-1]
    scores = scores.reshape(batch, kv_heads, repeats, length, total)
    scores = _masked(scores, mask)
    weights = mx.softmax(scores, axis=-1, precise=True)
    weights = weights.reshape(batch, kv_heads, repeats * length, total)
    out = _times(weights, values, sides[1], transpose=False)
    return out.reshape(batch, heads, length, out.shape[-1])


def _times(x: mx.array, held: Any, side: Side, *, transpose: bool) -> mx.array:
    if not isinstance(held, tuple):
        return mx.matmul(x, held.swapaxes(-1, -2) if transpose else held)
    tokens = held[0].shape[-2]
    added = 1 if needs_odd_length() and tokens % 2 == 0 else 0
    if added:
        # Codes, scale and bias of 0 stand for a token of zeros.
        held = tuple(_with_zeros(array, -2) for array in held)
        x = x if transpose else _with_zeros(x, -1)
    codes, scales, biases = held
    out = mx.quantized_matmul(
        x,
        codes,
        scales,
        biases,
        transpose=transpose,
        group_size=side.group_size,
        bits=side.bits,
    )
    return out[..., :tokens] if transpose and added else out


def _with_zeros(array: mx.array, axis: int) -> mx.array:
    shape = list(array.shape)
    shape[axis] = 1
    return mx.concatenate([array, mx.zeros(shape, array.dtype)], axis=axis)


@cache
def needs_odd_length() -> bool:
    """Whether this device multiplies codes rightly only where the number of tokens is odd.

    Measured on an H100 with mlx-cuda-13 0.32.4: over 512, 508 and 504 tokens of two KV heads the
    product with the transposed codes has a relative error of 1 to 1.4 and nothing is raised; over
    511 it is 2e-4. The kernel for aligned rows is at fault, and an odd length never selects it.
    """
    return bool(mx.default_device() == mx.gpu and mx.cuda.is_available())


def _masked(scores: mx.array, mask: Any) -> mx.array:
    """Mask scores (B, Hkv, R, L, T)."""
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
