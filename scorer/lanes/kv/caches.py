"""The KV caches of a lane: full precision, dequantized (the quantizer alone), and as codes.

A lane's caches start as the ones the model itself makes. A quantized lane replaces every cache
that holds keys and values; caches without them (state-space, short convolution) stay and are
counted as skipped. In deployment the replaced caches store at full precision until ``convert`` is
called, as mlx-lm does once ``quantized_kv_start`` is passed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx
from mlx_lm.models import cache as mlx_lm_cache

from scorer.common.errors import InputError
from scorer.lm.caches import OwnCache
from scorer.quantizers.affine_fused import fused_round_trip
from scorer.spec.settings.kv import FULL_PRECISION, KVSetting

Codes = tuple[mx.array, mx.array, mx.array]


def check_of(x: mx.array, restored: mx.array) -> mx.array:
    """(2,): whether any of x was not finite, whether ``restored`` differs anywhere.

    MLX's quantizer swallows NaN, so finiteness has to be looked at on the way in.
    """
    return mx.stack([mx.logical_not(mx.isfinite(x).all()), (restored != x).any()])


@dataclass(slots=True)
class Side:
    """The quantizer of the keys or the values of one cache, and what it did.

    Attributes:
        bits: Bits per element, 16 for full precision.
        group_size: Elements that share a scale and a bias.
        tokens: Tokens quantized so far.
        checks: Lazy arrays (2,), evaluated after the forward pass: an input was not finite;
            anything was changed by quantizing.
    """

    bits: int
    group_size: int
    tokens: int = 0
    checks: list[mx.array] = field(default_factory=list)

    @property
    def quantizes(self) -> bool:
        """Whether this side is stored with fewer than 16 bits."""
        return self.bits != FULL_PRECISION

    def quantize(self, x: mx.array) -> Codes:
        """Codes (…, T, D·bits/32) uint32, scales and biases (…, T, D/group) of x (…, T, D)."""
        codes, scales, biases = mx.quantize(x, group_size=self.group_size, bits=self.bits)
        return codes, scales, biases

    def dequantize(self, codes: Codes) -> mx.array:
        """What the codes stand for, in the dtype of their scales."""
        return mx.dequantize(*codes, group_size=self.group_size, bits=self.bits)

    def round_trip(self, x: mx.array, *, tokens_axis: int = -2) -> mx.array:
        """Quantize and dequantize x (…, T, D); a width of 0 passes through."""
        if not self.quantizes or x.shape[-1] == 0:
            return x
        restored, check = self.restored(x)
        self.tokens += x.shape[tokens_axis]
        self.checks.append(check)
        return restored

    def restored(self, x: mx.array) -> tuple[mx.array, mx.array]:
        """What is left of x after quantizing, and the check of it."""
        fused = fused_round_trip(x, self.bits, self.group_size)
        if fused is not None:
            return fused
        restored = self.dequantize(self.quantize(x))
        return restored, check_of(x, restored)


class _RoundTrip:
    """Mixed into a cache class: keys and values pass the quantizer on their way in.

    The class has no attribute named ``bits``: mlx-lm takes that as the sign of its own quantized
    cache and would call the quantized attention.
    """

    sides: tuple[Side, Side]
    converting: bool

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> Any:
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

    def __init__(self, key_side: Side, value_side: Side, *, start_full: bool) -> None:
        self.sides = (key_side, value_side)
        self.converting = not start_full
        self.offset = 0
        self.stored: list[Codes | mx.array | None] = [None, None]

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> Any:
        """Append keys (B, H, T, Dk) and values (B, H, T, Dv); return all that is held."""
        for index, (side, new) in enumerate(zip(self.sides, (keys, values), strict=True)):
            item: Codes | mx.array = new
            if self.converting and side.quantizes:
                item = self._encode(side, new)
            self.stored[index] = _append(self.stored[index], item)
        self.offset += keys.shape[-2]
        return tuple(self.stored)

    def _encode(self, side: Side, x: mx.array) -> Codes:
        codes = side.quantize(x)
        side.tokens += x.shape[-2]
        side.checks.append(check_of(x, side.dequantize(codes)))
        return codes

    def convert(self) -> None:
        """Quantize what is stored and everything that follows."""
        if not self.converting:
            self.converting = True
            for index, side in enumerate(self.sides):
                held = self.stored[index]
                if side.quantizes and isinstance(held, mx.array):
                    self.stored[index] = self._encode(side, held)

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


def _append(held: Codes | mx.array | None, new: Codes | mx.array) -> Codes | mx.array:
    if held is None:
        return new
    if isinstance(held, mx.array) and isinstance(new, mx.array):
        return mx.concatenate([held, new], axis=-2)
    codes, scales, biases = (
        mx.concatenate([a, b], axis=-2) for a, b in zip(held, new, strict=True)
    )
    return codes, scales, biases


_round_trip_classes: dict[type, type] = {}


def dequantized_cache(cache: Any, setting: KVSetting) -> Any:
    """A cache turned into one that quantizes and dequantizes what it stores.

    The class is a subclass of the cache's own, so that models which look at the class of their
    caches behave as before.
    """
    base: type = type(cache)
    cls: Any = _round_trip_classes.setdefault(
        base, type(f"Dequantized{base.__name__}", (_RoundTrip, base), {})
    )
    new = cls.__new__(cls)
    new.__dict__.update(cache.__dict__)
    new.sides = _sides(setting)
    new.converting = setting.start == 0
    return new


def codes_cache(cache: Any, setting: KVSetting) -> CodesKVCache:
    """A cache of codes in place of a plain ``KVCache``, with what that holds.

    Raises:
        InputError: The model's cache is not a plain one (rotating, chunked).
    """
    if type(cache) is not mlx_lm_cache.KVCache:
        raise InputError(f"codes cannot replace a `{type(cache).__name__}`")
    new = CodesKVCache(*_sides(setting), start_full=setting.start > 0)
    if cache.keys is not None:
        new.update_and_fetch(*(side[..., : cache.offset, :] for side in (cache.keys, cache.values)))
    return new


def _sides(setting: KVSetting) -> tuple[Side, Side]:
    return Side(setting.k_bits, setting.group_size), Side(setting.v_bits, setting.group_size)


def convert_caches(caches: list[Any], setting: KVSetting) -> None:
    """End the full-precision prefix: convert every quantizable cache in place."""
    for index, cache in enumerate(caches):
        if isinstance(cache, mlx_lm_cache.CacheList):
            parts = list(cache.caches)
            convert_caches(parts, setting)
            cache.caches = tuple(parts)
        elif hasattr(cache, "convert"):
            cache.convert()
        elif type(cache) is mlx_lm_cache.KVCache:
            caches[index] = cache.to_quantized(group_size=setting.group_size, bits=setting.k_bits)
