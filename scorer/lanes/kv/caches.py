"""The KV caches of a lane: dequantized (the quantizer alone), and as codes.

A lane's caches start as the ones the model itself makes. A quantized lane replaces every cache
that holds keys and values; caches without them (state-space, short convolution) stay and are
counted as skipped. In deployment the replaced caches store at full precision until ``convert`` is
called, as mlx-lm does once ``quantized_kv_start`` is passed.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models import cache as mlx_lm_cache

from scorer.common.errors import InputError
from scorer.lanes.kv.attention_over_codes import Held, attend_codes
from scorer.lanes.kv.sides import Side
from scorer.lm.caches import OwnCache

Sides = tuple[Side, Side]
"""Keys and values."""


class _RoundTrip:
    """Mixed into a cache class: keys and values are quantized before they are stored.

    The class has no attribute named ``bits``: mlx-lm takes that as the sign of its own quantized
    cache and would call the quantized attention.
    """

    sides: Sides
    converting: bool

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> Any:
        """Append keys (B, Hkv, L, Dk) and values (B, Hkv, L, Dv) in the compute dtype.

        Returns:
            What the cache class returns: keys (B, Hkv, T, Dk) and values (B, Hkv, T, Dv), of the
            same dtype.
        """
        if self.converting:
            keys, values = self.sides[0].round_trip(keys), self.sides[1].round_trip(values)
        return super().update_and_fetch(keys, values)  # type: ignore[misc]

    def convert(self) -> None:
        """Quantize what is stored and everything that follows."""
        keys, values = getattr(self, "keys", None), getattr(self, "values", None)
        if not self.converting and keys is not None and values is not None:
            held = int(getattr(self, "offset", keys.shape[-2]))
            for side, name, stored in zip(
                self.sides, ("keys", "values"), (keys, values), strict=True
            ):
                restored = side.round_trip(stored)
                if side.quantizes and stored.shape[-1]:
                    side.tokens += min(held, stored.shape[-2]) - stored.shape[-2]
                setattr(self, name, restored)
        self.converting = True


class CodesKVCache(OwnCache):
    """Keys and values as the quantizer's codes, K and V apart, any width MLX can quantize to.

    mlx-lm's own class computes the packed width as ``dim // (32 // bits)``, which is wrong for 3,
    5 and 6 bits at many head dimensions, and holds one width for both sides.
    """

    def __init__(self, sides: Sides, *, converting: bool) -> None:
        self.sides = sides
        self.converting = converting
        self.offset = 0
        self.stored: list[Held | None] = [None, None]

    @property
    def attends(self) -> bool:
        """Whether it holds codes; until then mlx-lm attends over the arrays."""
        return self.converting

    def attend(
        self, queries: mx.array, keys: Any, values: Any, scale: float, mask: Any, sinks: Any
    ) -> mx.array:
        """Attention over codes: (B, Hq, L, Dv) in the queries' dtype, see :meth:`OwnCache.attend`.

        Raises:
            ValueError: There are attention sinks.
        """
        if sinks is not None:
            raise ValueError("attention over codes does not support attention sinks")
        quantizers = self.sides[0].quantizer, self.sides[1].quantizer
        return attend_codes(queries, quantizers, scale, mask, keys, values)

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> Any:
        """Append keys (B, Hkv, L, Dk) and values (B, Hkv, L, Dv) in the compute dtype.

        Returns:
            Keys and values of all T tokens, each an array (B, Hkv, T, D) in the compute dtype, or
            codes (B, Hkv, T, D · bits / 32) uint32 with scales and biases (B, Hkv, T, D / group)
            in the compute dtype.
        """
        for index, (side, new) in enumerate(zip(self.sides, (keys, values), strict=True)):
            item = side.stored(new) if self.converting else new
            self.stored[index] = _append(self.stored[index], item)
        self.offset += keys.shape[-2]
        return tuple(self.stored)

    def convert(self) -> None:
        """Quantize what is stored and everything that follows."""
        if not self.converting:
            self.converting = True
            for index, side in enumerate(self.sides):
                held = self.stored[index]
                if isinstance(held, mx.array):
                    self.stored[index] = side.stored(held)

    def make_mask(self, *args: Any, **kwargs: Any) -> Any:
        """The causal mask mlx-lm's caches make."""
        return mlx_lm_cache.create_attention_mask(*args, offset=self.offset, **kwargs)

    def stored_bytes(self, index: int) -> int:
        """Bytes of the arrays that hold one side of one sequence."""
        held = self.stored[index]
        arrays = held if isinstance(held, tuple) else (held,)
        return sum(array.nbytes // array.shape[0] for array in arrays if array is not None)

    def empty(self) -> bool:
        """Whether nothing is stored yet."""
        return self.offset == 0

    def size(self) -> int:
        """Tokens held."""
        return self.offset

    def is_trimmable(self) -> bool:
        """Scoring never trims."""
        return False


def _append(held: Held | None, new: Held) -> Held:
    """Append L new tokens to T held ones: arrays (…, T, n) and (…, L, n) of one dtype."""
    if held is None:
        return new
    if isinstance(held, mx.array) and isinstance(new, mx.array):
        return mx.concatenate([held, new], axis=-2)
    return tuple(mx.concatenate([a, b], axis=-2) for a, b in zip(held, new, strict=True))


_round_trip_classes: dict[type, type] = {}


def dequantized_cache(cache: Any, sides: Sides, *, converting: bool) -> Any:
    """A cache turned into one that quantizes and dequantizes what it stores.

    The class is a subclass of the cache's own, so that models which look at the class of their
    caches behave as before.

    Args:
        cache: One of mlx-lm's caches of keys and values; what it holds is taken over.
        sides: The quantizers of keys and values.
        converting: Whether it quantizes from now on; else from ``convert`` on.
    """
    base: type = type(cache)
    cls: Any = _round_trip_classes.setdefault(
        base, type(f"Dequantized{base.__name__}", (_RoundTrip, base), {})
    )
    new = cls.__new__(cls)
    new.__dict__.update(cache.__dict__)
    new.sides = sides
    new.converting = converting
    return new


def codes_cache(cache: Any, sides: Sides, *, converting: bool) -> CodesKVCache:
    """A cache of codes in place of a plain ``KVCache``, with what that holds.

    Args:
        cache: The plain cache.
        sides: The quantizers of keys and values.
        converting: Whether it quantizes from now on; else from ``convert`` on.

    Raises:
        InputError: The model's cache is not a plain one (rotating, chunked).
    """
    if type(cache) is not mlx_lm_cache.KVCache:
        raise InputError(f"codes cannot replace a `{type(cache).__name__}`")
    new = CodesKVCache(sides, converting=converting)
    if cache.keys is not None:
        new.update_and_fetch(*(side[..., : cache.offset, :] for side in (cache.keys, cache.values)))
    return new


def convert_caches(caches: list[Any], bits: int, group_size: int) -> None:
    """End the full-precision prefix: convert every quantizable cache in place.

    Args:
        caches: The model's list. Caches of ours know their quantizers.
        bits: Bits of a code in mlx-lm's own quantized cache, which takes a plain cache's place.
        group_size: Group size in the same.
    """
    for index, cache in enumerate(caches):
        if isinstance(cache, mlx_lm_cache.CacheList):
            parts = list(cache.caches)
            convert_caches(parts, bits, group_size)
            cache.caches = tuple(parts)
        elif hasattr(cache, "convert"):
            cache.convert()
        elif type(cache) is mlx_lm_cache.KVCache:
            caches[index] = cache.to_quantized(group_size=group_size, bits=bits)
