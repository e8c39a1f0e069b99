"""Where ``mlx_lm.generate --kv-bits`` can run a setting, found without computing anything."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any, Literal

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import base as mlx_lm_base
from mlx_lm.models import cache as mlx_lm_cache

from scorer.common.device_kind import DeviceKind
from scorer.lm.caches import cloned, fresh_caches, holds_kv, is_filled, walk
from scorer.spec.settings.kv import KVSetting

# What a forward pass over a cache raises where an architecture cannot work with it.
CANNOT_RUN = (AttributeError, TypeError, ValueError, IndexError, KeyError, NotImplementedError)

MlxLm = Literal["here", "elsewhere", "nowhere"]


def caches_of_two_tokens(model: nn.Module) -> list[Any]:
    """The model's own caches after two tokens at full precision, none of it computed."""
    caches = fresh_caches(model)
    model(mx.zeros((1, 2), mx.int32), cache=caches)
    return caches


def where_generate_runs(
    model: nn.Module, setting: KVSetting, filled: list[Any], device: DeviceKind
) -> MlxLm:
    """Where ``mlx_lm.generate --kv-bits`` can run this setting on this model.

    It fills plain caches, converts those that offer ``to_quantized`` and goes on: one width for
    both sides, rotating caches raise, chunked and composite ones are passed over in silence. A
    model of which it quantizes only a part does not run the setting.

    The graph of that pass over a third token is built and not evaluated: an architecture that
    cannot work with a quantized cache raises while it is built, as shapes and types show it. What
    only shows when a graph is evaluated is known: on CUDA, MLX has no quantized matmul for queries
    that share a key head, nor for several key heads of a cache with room for more tokens, which is
    how mlx-lm keeps them (mlx-cuda-13 0.32.4 on an H100).

    Args:
        model: The model.
        setting: The setting.
        filled: From :func:`caches_of_two_tokens`; they stay as they are.
        device: Where this model runs.

    Returns:
        ``here``; ``elsewhere``, on devices of another kind; or ``nowhere``.
    """
    if setting.k_bits != setting.v_bits:
        return "nowhere"
    try:
        caches = [cloned(cache) for cache in filled]
        converted = [
            cache.to_quantized(group_size=setting.group_size, bits=setting.k_bits)
            if hasattr(cache, "to_quantized")
            else cache
            for cache in caches
        ]
        kept = [e.cache for e in walk(converted) if holds_kv(e.cache) and is_filled(e.cache)]
        if not kept or not all(isinstance(c, mlx_lm_cache.QuantizedKVCache) for c in kept):
            return "nowhere"
        with _head_counts() as heads:
            model(mx.zeros((1, 1), mx.int32), cache=converted)
    except CANNOT_RUN:
        return "nowhere"
    except RuntimeError as error:
        if not lacks_kernel(error):
            raise
        return "elsewhere"
    return "elsewhere" if device == "cuda" and any(pair != (1, 1) for pair in heads) else "here"


def lacks_kernel(error: RuntimeError) -> bool:
    """Whether MLX says that this device has no kernel for a shape, rather than that it failed."""
    return "No implementation" in str(error)


@contextlib.contextmanager
def _head_counts() -> Iterator[list[tuple[int, int]]]:
    """Collect the numbers of query heads and key heads of each quantized attention inside.

    Attention itself is unchanged: queries (B, Hq, L, Dk) and output (B, Hq, L, Dv) in the compute
    dtype, keys as codes (B, Hkv, T, Dk · bits / 32) uint32 with scales and biases.
    """
    found: list[tuple[int, int]] = []
    original = mlx_lm_base.quantized_scaled_dot_product_attention

    def attend(queries: mx.array, q_keys: Any, *args: Any, **kwargs: Any) -> mx.array:
        output: mx.array = original(queries, q_keys, *args, **kwargs)
        found.append((queries.shape[1], q_keys[0].shape[1]))
        return output

    mlx_lm_base.quantized_scaled_dot_product_attention = attend
    try:
        yield found
    finally:
        mlx_lm_base.quantized_scaled_dot_product_attention = original
