"""The geometry of the KV cache that a loaded model really fills."""

from __future__ import annotations

from typing import Any

import mlx.core as mx

from scorer.common.errors import InputError
from scorer.lm.caches import filled_labels, fresh_caches, holds_kv, is_filled, walk
from scorer.lm.split_model import SplitModel
from scorer.spec.geometry import KVGeometry, KVLayer


def measured_geometry(split: SplitModel) -> KVGeometry:
    """The geometry of the caches the model really fills, from a forward pass over two tokens.

    The labels of these caches are kept with the model.

    Raises:
        InputError: None of its caches holds keys and values.
    """
    caches = fresh_caches(split.model)
    mx.eval(split.hidden(mx.zeros((1, 2), mx.int32), caches))
    split.kv_labels = filled_labels(caches)
    layers = []
    for entry in walk(caches):
        cache = entry.cache
        if not holds_kv(cache) or not is_filled(cache):
            continue
        window, kind = _window_of(cache)
        layers.append(
            KVLayer(
                kv_heads=int(cache.keys.shape[1]),
                k_dim=int(cache.keys.shape[-1]),
                v_dim=int(cache.values.shape[-1]),
                window=window,
                kind=kind,
            )
        )
    if not layers:
        raise InputError(
            "this model keeps no keys and values, so there is no KV cache to quantize",
            "pick a model with attention layers; `qfid models` lists the cached ones",
        )
    return KVGeometry(layers=tuple(layers), total_layers=len(caches))


def _window_of(cache: Any) -> tuple[int | None, str]:
    """Tokens a cache keeps at most, and its kind as geometry names it."""
    for name, kind in (("max_size", "sliding"), ("chunk_size", "chunked")):
        window = getattr(cache, name, None)
        if window:
            return int(window), kind
    return None, "full"
