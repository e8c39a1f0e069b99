"""Quantized attention checked on this device before its numbers are believed.

MLX's quantized matmuls have been wrong on a GPU for some shapes without an error (mlx issues 3480,
4201, 4250). So every combination of width, group, head dimension and length that a run will use
is compared once, at load, with attention over the dequantized keys and values.
"""

from __future__ import annotations

import mlx.core as mx
from mlx_lm.models import base as mlx_lm_base

from scorer.common.errors import QfidError
from scorer.device.cpu_arithmetic import MLX
from scorer.lanes.kv.attention_over_codes import attend_codes
from scorer.lanes.kv.caches import CodesKVCache
from scorer.lanes.kv.lane import CODES, MLX_LM, Arithmetic
from scorer.lanes.kv.sides import CachePlace, sides_of
from scorer.lm.patches import pass_options
from scorer.spec.geometry import KVGeometry
from scorer.spec.settings.kv import KVSetting

# Root mean square error over the root mean square of the outputs: rounding stays far below these,
# a kernel that mixes up rows or groups comes out near 1.
_TOLERANCE = {mx.float32: 1e-4, mx.float16: 1e-2, mx.bfloat16: 5e-2}


def check_attention(
    setting: KVSetting,
    arithmetic: Arithmetic,
    geometry: KVGeometry,
    query_heads: int,
    length: int,
    dtype: mx.Dtype,
) -> None:
    """Compare attention over codes with attention over what the codes stand for.

    Args:
        setting: Widths and group size.
        arithmetic: ``codes`` or ``mlx-lm``; others have nothing to check.
        geometry: The model's caches; each distinct shape is checked.
        query_heads: Query heads of the model.
        length: Tokens of a chunk.
        dtype: Compute dtype.

    Raises:
        QfidError: The two differ by more than rounding.
    """
    if arithmetic not in (CODES, MLX_LM):
        return
    for kv_heads, k_dim, v_dim in dict.fromkeys(
        (layer.kv_heads, layer.k_dim, layer.v_dim) for layer in geometry.layers
    ):
        if not v_dim:
            continue
        heads = query_heads if query_heads % kv_heads == 0 else kv_heads
        error = attention_error(setting, arithmetic, (heads, kv_heads, k_dim, v_dim), length, dtype)
        if not error <= _TOLERANCE.get(dtype, 5e-2):
            raise QfidError(
                f"setting `{setting}`: quantized attention on this device is off by {error:.3g} "
                f"at head dimension {k_dim}, length {length}",
                "its numbers would be wrong; score the quantizer alone: --path dequantized",
            )


def attention_error(
    setting: KVSetting,
    arithmetic: Arithmetic,
    shape: tuple[int, int, int, int],
    length: int,
    dtype: mx.Dtype,
) -> float:
    """Relative root mean square error on random data of one shape (Hq, Hkv, Dk, Dv).

    Long chunks go in blocks of queries on both sides, as in a forward pass.
    """
    with pass_options(query_blocks=True):
        return _attention_error(setting, arithmetic, shape, length, dtype)


def _attention_error(
    setting: KVSetting,
    arithmetic: Arithmetic,
    shape: tuple[int, int, int, int],
    length: int,
    dtype: mx.Dtype,
) -> float:
    heads, kv_heads, k_dim, v_dim = shape
    keys = [mx.random.key(seed) for seed in range(3)]
    queries = mx.random.normal((1, heads, length, k_dim), key=keys[0]).astype(dtype)
    k = mx.random.normal((1, kv_heads, length, k_dim), key=keys[1]).astype(dtype)
    v = mx.random.normal((1, kv_heads, length, v_dim), key=keys[2]).astype(dtype)
    scale = k_dim**-0.5
    sides = sides_of(setting.every_cache, CachePlace(0, "0"), MLX)
    cache = CodesKVCache(sides, converting=True)
    held_k, held_v = cache.update_and_fetch(k, v)
    if arithmetic == MLX_LM:
        out = mlx_lm_base.quantized_scaled_dot_product_attention(
            mx.array(queries),
            held_k,
            held_v,
            scale=scale,
            mask="causal",
            group_size=setting.group_size,
            bits=setting.k_bits,
        )
    else:
        quantizers = sides[0].quantizer, sides[1].quantizer
        out = attend_codes(queries, quantizers, scale, "causal", held_k, held_v)
    dense = [
        held if side.quantizer is None else side.quantizer.dequantize(held)
        for side, held in zip(sides, (held_k, held_v), strict=True)
    ]
    expected = mx.fast.scaled_dot_product_attention(
        queries.astype(mx.float32),
        dense[0].astype(mx.float32),
        dense[1].astype(mx.float32),
        scale=scale,
        mask="causal",
    )
    error = mx.square(out.astype(mx.float32) - expected).mean()
    relative = mx.sqrt(error / mx.square(expected).mean()).item()
    assert isinstance(relative, float)
    return relative
