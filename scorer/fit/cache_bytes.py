"""Bytes of the KV cache of a deployment, whose elements may have 2 or 4 bytes."""

from __future__ import annotations

from functools import lru_cache

from scorer.spec.geometry import KVGeometry
from scorer.spec.settings.kv import KVSetting
from scorer.spec.sides import FULL_CACHE, StoredSide

_COSTED_BYTES = 2


def element_sizes(
    geometry: KVGeometry, kv: KVSetting | None, element_bytes: int = 2
) -> list[tuple[float, float]]:
    """Stored bytes per element of the keys and of the values of each cache.

    Args:
        geometry: The caches of the model.
        kv: How they are stored; None for no quantization.
        element_bytes: Bytes of an element that is not quantized; scales and biases have as many.
    """
    sides = [FULL_CACHE] * len(geometry.layers) if kv is None else kv.sides(geometry)
    return [(_side(s.keys, element_bytes), _side(s.values, element_bytes)) for s in sides]


def _side(side: StoredSide, element_bytes: int) -> float:
    if side.quantizer is None:
        return element_bytes
    # A scale and a bias per group; the description counts them with 2 bytes each.
    more = 2 * (element_bytes - _COSTED_BYTES) / side.quantizer.group_size
    return side.quantizer.bytes_per_element + more


@lru_cache(maxsize=4096)
def cache_bytes(
    geometry: KVGeometry, kv: KVSetting | None, context: int, element_bytes: int = 2
) -> int:
    """Stored bytes of the cache of one sequence of ``context`` tokens.

    A cache with a window counts ``min(context, window)`` tokens. Buffers grow by 256 tokens; the
    room behind the last token is no part of this. Arguments as of :func:`element_sizes`.
    """
    sizes = element_sizes(geometry, kv, element_bytes)
    total = 0.0
    for layer, (keys, values) in zip(geometry.layers, sizes, strict=True):
        tokens = layer.tokens(context) or 0
        total += tokens * layer.kv_heads * (layer.k_dim * keys + layer.v_dim * values)
    return round(total)
