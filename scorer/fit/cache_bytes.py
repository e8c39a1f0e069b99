"""Bytes of the KV caches of a deployment, whose elements may have 2 or 4 bytes."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting
from scorer.spec.sides import FULL_CACHE, StoredSide

_COSTED_BYTES = 2


@dataclass(frozen=True, slots=True)
class CacheKind:
    """Caches of one shape that are stored alike.

    Attributes:
        count: How many there are.
        layer: Their shape.
        plain: Bytes of a token in one of them without quantization.
        stored: Bytes of a token as stored.
    """

    count: int
    layer: KVLayer
    plain: float
    stored: float


@lru_cache(maxsize=256)
def cache_kinds(
    geometry: KVGeometry, kv: KVSetting | None, element_bytes: int = 2
) -> tuple[CacheKind, ...]:
    """The caches of a model, those alike counted together.

    Args:
        geometry: The caches of the model.
        kv: How they are stored; None for no quantization.
        element_bytes: Bytes of an element that is not quantized; scales and biases have as many.
    """
    sides = [FULL_CACHE] * len(geometry.layers) if kv is None else kv.sides(geometry)
    return tuple(
        CacheKind(
            count,
            layer,
            layer.kv_heads * (layer.k_dim + layer.v_dim) * element_bytes,
            layer.kv_heads
            * (
                layer.k_dim * _element(side.keys, element_bytes)
                + layer.v_dim * _element(side.values, element_bytes)
            ),
        )
        for (layer, side), count in Counter(zip(geometry.layers, sides, strict=True)).items()
    )


def _element(side: StoredSide, element_bytes: int) -> float:
    """Stored bytes per element."""
    if side.quantizer is None:
        return element_bytes
    # A scale and a bias per group; the description counts them with 2 bytes each.
    more = 2 * (element_bytes - _COSTED_BYTES) / side.quantizer.group_size
    return side.quantizer.bytes_per_element + more


def cache_bytes(kinds: tuple[CacheKind, ...], context: int) -> int:
    """Stored bytes of the caches of one sequence of ``context`` tokens.

    A cache with a window counts ``min(context, window)`` tokens. Buffers grow by 256 tokens; the
    room behind the last token is no part of this.
    """
    return round(
        sum(kind.count * kind.stored * (kind.layer.tokens(context) or 0) for kind in kinds)
    )
