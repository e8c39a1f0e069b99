"""A candidate whose KV cache is quantized as one setting says."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
from mlx_lm.models import cache as mlx_lm_cache

from scorer.common.errors import SettingFailed
from scorer.device.dispatch import dispatch
from scorer.lanes.base import ModelLane, PendingPass
from scorer.lanes.kv.caches import codes_cache, convert_caches, dequantized_cache
from scorer.lanes.kv.engagement import PendingEngagement
from scorer.lanes.kv.sides import CachePlace, sides_of
from scorer.lanes.prefixes import Prefixes
from scorer.lanes.states import MemoryStates
from scorer.lm.caches import LayerCache, fresh_caches, holds_kv, replace_caches, walk
from scorer.lm.model_handle import ModelHandle
from scorer.spec.settings.kv import FULL_PRECISION, KVSetting
from scorer.spec.sides import LayerSides

Arithmetic = str
DEQUANTIZED = "dequantized"
CODES = "codes"
MLX_LM = "mlx-lm"
FULL_CACHE = "full cache"


class KVLane(ModelLane):
    """A model with its KV cache quantized as one setting says.

    Args:
        model: Handle of the model.
        setting: The setting.
        arithmetic: ``dequantized``, ``codes`` (our cache of codes) or ``mlx-lm`` (its own class).
        prefixes: Where full-precision prefixes come from, shared by the lanes of a run; None for
            some of its own.
        key: The name under which results are stored; None for the setting in notation.

    Attributes:
        setting: As given.
        arithmetic: As given.
        prefixes: As given.
        key: As given.
        first_position: Tokens of the full-precision prefix: the first position behind it.
    """

    def __init__(
        self,
        model: ModelHandle,
        setting: KVSetting,
        arithmetic: Arithmetic,
        prefixes: Prefixes | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(model)
        self.prefixes = Prefixes(model) if prefixes is None else prefixes
        self.setting = setting
        self.arithmetic = arithmetic
        self.key = str(setting) if key is None else key
        self.first_position = setting.start

    def unshared(self) -> KVLane:
        """The same lane with nothing shared with other lanes but the model."""
        return KVLane(self.model, self.setting, self.arithmetic, key=self.key)

    def make_caches(self, held: list[Any] | None = None) -> list[Any]:
        """Caches of this lane: fresh ones, or in place of ``held``, filled by a prefix."""
        caches = fresh_caches(self.split.model) if held is None else held
        labels = self.split.kv_labels
        if labels is None:
            labels = tuple(entry.label for entry in walk(caches) if holds_kv(entry.cache))
        places = {label: CachePlace(index, label) for index, label in enumerate(labels)}

        def replaced(entry: LayerCache) -> Any:
            return self._cache(entry.cache, places.get(entry.label, CachePlace(None, entry.label)))

        return replace_caches(caches, replaced)

    def _cache(self, cache: Any, place: CachePlace) -> Any:
        if self.arithmetic == MLX_LM:
            return self._mlx_lm_cache(cache)
        sides = sides_of(self._described(place), place, self.split.arithmetic)
        make = codes_cache if self.arithmetic == CODES else dequantized_cache
        return make(cache, sides, converting=self.setting.start == 0)

    def _described(self, place: CachePlace) -> LayerSides:
        geometry = self.split.geometry
        if geometry is None or place.index is None:
            return self.setting.every_cache
        return self.setting.sides(geometry)[place.index]

    def _mlx_lm_cache(self, cache: Any) -> Any:
        if type(cache) is not mlx_lm_cache.KVCache:
            raise SettingFailed(f"mlx-lm cannot quantize a `{type(cache).__name__}`")
        if self.setting.start:
            return cache
        return mlx_lm_cache.QuantizedKVCache(
            group_size=self.setting.group_size, bits=self.setting.k_bits
        )

    def begin(self, tokens: mx.array) -> PendingPass:
        """Dispatch a pass over tokens (B, T) int32; its findings are an :class:`Engagement`.

        In deployment the states of the prefix are those of the full-precision cache, and only
        positions from ``first_position`` on may be scored.

        Raises:
            SettingFailed: A layer that was asked for did not quantize. From the findings: K or V
                was not finite.
        """
        start = self.setting.start
        if start:
            prefix, held = self.prefixes.take(tokens, start)
            caches = self.make_caches(held)
            convert_caches(caches, self.setting.k_bits, self.setting.group_size)
            rest = self.split.hidden(tokens[:, start:], caches)
            hidden = mx.concatenate([prefix, rest], axis=1)
        else:
            caches = self.make_caches()
            hidden = self.split.hidden(tokens, caches)
        engagement = PendingEngagement(caches, self.key, tokens.shape[1])
        dispatch(hidden, *engagement.checks)
        return PendingPass(MemoryStates(hidden), engagement.checks, engagement.read)


def mlx_lm_class_holds(caches: list[Any], setting: KVSetting, dims: list[tuple[int, int]]) -> bool:
    """Whether mlx-lm's own quantized cache class can hold the setting from the first token.

    Args:
        caches: Fresh caches of the model.
        setting: The setting.
        dims: K and V dimension of every cache of keys and values.

    mlx-lm allocates ``dim // (32 // bits)`` words a row where the quantizer gives
    ``dim · bits / 32``, holds one width for both sides, and has no rotating quantized cache.
    """
    if setting.k_bits != setting.v_bits or setting.k_bits == FULL_PRECISION:
        return False
    plain = all(
        type(layer.cache) is mlx_lm_cache.KVCache for layer in walk(caches) if holds_kv(layer.cache)
    )
    if not plain or any(isinstance(cache, mlx_lm_cache.CacheList) for cache in caches):
        return False
    if setting.start:
        return True
    words = 32 // setting.k_bits
    return all(d // words == d * setting.k_bits // 32 for pair in dims for d in pair)
