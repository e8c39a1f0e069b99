"""Proof that quantization engaged: what every layer and side of a cache holds after a pass."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import mlx.core as mx
from mlx_lm.models import cache as mlx_lm_cache
from numpy.typing import NDArray

from scorer.common.errors import SettingFailed
from scorer.lanes.base import CacheNotFinite
from scorer.lanes.kv.caches import CodesKVCache, Sides
from scorer.lm.caches import LayerCache, holds_kv, is_filled, walk
from scorer.runs.engagement import Engagement, SideEngagement


class PendingEngagement:
    """What a forward pass that has been built quantizes; its checks are still to be computed.

    It holds none of the keys and values.

    Args:
        caches: The caches the pass went through.
        key: Of the setting that was asked for, for messages.
        tokens: Tokens of the pass.

    Attributes:
        checks: Lazy arrays, to be evaluated together with the pass: left for later they would hold
            every layer's keys and values. One array (N, 2) bool or uint8 for the N checks of the
            sides, or none.

    Raises:
        SettingFailed: No cache quantizes, or one that should does not.
    """

    def __init__(self, caches: list[Any], key: str, tokens: int) -> None:
        self._key = key
        self._sides: list[tuple[SideEngagement, list[mx.array]]] = []
        quantized: set[int] = set()
        for entry in walk(caches):
            if holds_kv(entry.cache) and is_filled(entry.cache):
                self._sides.extend(_sides_of(entry, key, tokens))
                quantized.add(entry.index[0])
        if not quantized:
            raise SettingFailed(
                f"setting `{key}`: the model has no keys and values to quantize",
                "its layers keep other state; there is nothing to measure here",
            )
        self._quantized = len(quantized)
        self._skipped = tuple(
            (str(index), "never filled" if holds_kv(cache) else _name(cache))
            for index, cache in enumerate(caches)
            if index not in quantized
        )
        checks = [check for _, checks in self._sides for check in checks]
        self.checks = [_as_one(checks)] if checks else []

    def read(self, checks: Sequence[NDArray[Any]]) -> Engagement:
        """What was quantized, from the values of :attr:`checks`: (N, 2) bool or uint8.

        Raises:
            CacheNotFinite: Keys or values were not finite (MLX's quantizer swallows NaN).
        """
        rows = iter(checks[0] if checks else ())
        sides = tuple(
            _checked(side, [next(rows) for _ in own], self._key) for side, own in self._sides
        )
        return Engagement(sides, self._quantized, self._skipped)


def _as_one(checks: list[mx.array]) -> mx.array:
    """(N, 2): whether any row of each of N checks (…, 2) is true; all are bool or uint8."""
    if any(check.shape != checks[0].shape for check in checks):
        checks = [check.reshape(-1, 2).max(axis=0) for check in checks]
    return mx.stack(checks).reshape(len(checks), -1, 2).max(axis=1)


def _name(cache: Any) -> str:
    """The class of a cache, of all parts of a composite one."""
    if isinstance(cache, mlx_lm_cache.CacheList):
        return "CacheList of " + ", ".join(_name(part) for part in cache.caches)
    return type(cache).__name__


def _sides_of(
    entry: LayerCache, key: str, tokens: int
) -> list[tuple[SideEngagement, list[mx.array]]]:
    """Both sides of a filled cache, and the checks of each."""
    cache, name = entry.cache, type(entry.cache).__name__
    if isinstance(cache, mlx_lm_cache.QuantizedKVCache):
        return [
            (
                SideEngagement(
                    entry.label,
                    side,
                    name,
                    cache.bits,
                    cache.group_size,
                    cache.offset,
                    sum(_bytes_held(array, cache.offset) for array in held),
                    None,
                ),
                [],
            )
            for side, held in (("k", cache.keys), ("v", cache.values))
        ]
    sides: Sides | None = getattr(cache, "sides", None)
    if sides is None or not cache.converting:
        raise SettingFailed(
            f"setting `{key}`: layer {entry.label} (`{name}`) did not quantize",
            "quantization was asked for and not applied; please report this model",
        )
    found = []
    for index, side in enumerate(sides):
        if side.quantizes and _width(cache, index) and side.tokens == 0:
            raise SettingFailed(
                f"setting `{key}`: layer {side.place.label} (`{name}`) quantized no "
                f"{side.name.upper()}",
                "quantization was asked for and not applied; please report this model",
            )
        stored = cache.stored_bytes(index) if isinstance(cache, CodesKVCache) else None
        held = cache.offset if isinstance(cache, CodesKVCache) else side.tokens
        if not side.quantizes:
            held = tokens
        made = SideEngagement(
            side.place.label,
            side.name,
            name,
            side.bits,
            side.group_size,
            held,
            stored,
            False if side.quantizes else None,
        )
        found.append((made, list(side.checks)))
        side.checks.clear()
    return found


def _checked(side: SideEngagement, checks: list[NDArray[Any]], key: str) -> SideEngagement:
    """A side with the result of its checks, each (2,) bool or uint8."""
    if any(check[0] for check in checks):
        raise CacheNotFinite(
            f"setting `{key}`: {'keys' if side.side == 'k' else 'values'} of layer "
            f"{side.layer} hold NaN or infinity before quantizing",
            "the model overflows on this text; no KV width can be judged with it",
        )
    if side.changed is None:
        return side
    return replace(side, changed=any(bool(check[1]) for check in checks))


def _width(cache: Any, index: int) -> int:
    held = (
        cache.stored[index]
        if isinstance(cache, CodesKVCache)
        else (cache.keys, cache.values)[index]
    )
    if isinstance(held, tuple):
        return int(held[0].shape[-1])
    return 0 if held is None else int(held.shape[-1])


def _bytes_held(array: mx.array, tokens: int) -> int:
    """Bytes of one sequence's first ``tokens`` rows of an array (B, Hkv, T, n) of any dtype.

    Buffers grow in steps, so ``nbytes`` counts rows that hold nothing.
    """
    rows = array.shape[-2]
    return int(array.nbytes // array.shape[0] // rows * tokens)
