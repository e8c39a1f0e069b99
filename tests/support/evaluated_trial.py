"""What mlx-lm does with a quantized cache when a pass over it is really evaluated."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models import cache as mlx_lm_cache

from scorer.lm.caches import fresh_caches, holds_kv, is_filled, walk
from scorer.spec.settings.kv import KVSetting

_CANNOT_RUN = (AttributeError, TypeError, ValueError, IndexError, KeyError, NotImplementedError)


def trial(model: Any, setting: KVSetting) -> str:
    """``here``, ``elsewhere`` (MLX has no kernel on this device) or ``nowhere``.

    Two tokens fill the model's own caches, those that can be are converted, and a third token is
    run and evaluated, as ``mlx_lm.generate --kv-bits`` does.
    """
    if setting.k_bits != setting.v_bits:
        return "nowhere"
    caches = fresh_caches(model)
    mx.eval(model(mx.zeros((1, 2), mx.int32), cache=caches))
    try:
        converted = [
            cache.to_quantized(group_size=setting.group_size, bits=setting.k_bits)
            if hasattr(cache, "to_quantized")
            else cache
            for cache in caches
        ]
        kept = [e.cache for e in walk(converted) if holds_kv(e.cache) and is_filled(e.cache)]
        if not kept or not all(isinstance(c, mlx_lm_cache.QuantizedKVCache) for c in kept):
            return "nowhere"
        mx.eval(model(mx.zeros((1, 1), mx.int32), cache=converted))
    except _CANNOT_RUN:
        return "nowhere"
    except RuntimeError as error:
        if "No implementation" not in str(error):
            raise
        return "elsewhere"
    return "here"
