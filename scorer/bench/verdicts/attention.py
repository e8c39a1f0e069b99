"""What a trained model's attention is like: its sink, and its loud key channels."""

from __future__ import annotations

import sys
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np


def attention_facts(model: nn.Module, ids: mx.array) -> dict[str, float]:
    """Measure the attention of a model over some windows.

    Args:
        model: The model.
        ids: (b, L) int32 tokens.

    Returns:
        ``sink``: the share of attention on the first position, of the second half of the queries,
        averaged over heads of the layers that see it; ``sink_of_layer``: the same of the layer
        with the largest. ``loud_keys``: the largest over layers of a key channel's mean magnitude
        ÷ the median channel's.
    """
    module: Any = sys.modules[type(model).__module__]
    original = module.scaled_dot_product_attention
    sinks: list[float] = []
    ratios: list[float] = []

    def watched(
        queries: mx.array, keys: mx.array, values: mx.array, *args: Any, **options: Any
    ) -> Any:
        share = _first_share(queries, keys, options["scale"])
        if not _is_windowed(options.get("mask")):
            sinks.append(share)
        channels = np.array(mx.abs(keys.astype(mx.float32)).mean(axis=(0, 2)))
        ratios.append(float((channels.max(-1) / np.median(channels, axis=-1)).max()))
        return original(queries, keys, values, *args, **options)

    module.scaled_dot_product_attention = watched
    try:
        mx.eval(model(ids))
    finally:
        module.scaled_dot_product_attention = original
    return {
        "sink": float(np.mean(sinks)),
        "sink_of_layer": max(sinks),
        "loud_keys": max(ratios),
    }


def _is_windowed(mask: Any) -> bool:
    """Whether a mask hides what lies behind a window; a plain causal one is a word."""
    return isinstance(mask, mx.array)


def _first_share(queries: mx.array, keys: mx.array, scale: float) -> float:
    """Mean attention on the first position, of the second half of the queries."""
    length = queries.shape[2]
    keys = mx.repeat(keys, queries.shape[1] // keys.shape[1], axis=1)
    scores = scale * (queries.astype(mx.float32) @ keys.astype(mx.float32).swapaxes(-1, -2))
    causal = mx.tril(mx.ones((length, length), mx.bool_))
    shares = mx.softmax(mx.where(causal, scores, -mx.inf), axis=-1)
    return float(np.array(shares[:, :, length // 2 :, 0]).mean())
