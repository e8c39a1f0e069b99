"""Caches of one layer and lanes of one model, made as tests name them: by a setting."""

from __future__ import annotations

from typing import Any

from scorer.device.cpu_arithmetic import MLX
from scorer.lanes.base import ReferenceLane
from scorer.lanes.kv import caches
from scorer.lanes.kv.caches import CodesKVCache
from scorer.lanes.kv.lane import KVLane
from scorer.lanes.kv.sides import CachePlace, Side, sides_of
from scorer.lanes.prefixes import Prefixes
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel
from scorer.spec.settings.kv import KVSetting


def kv_lane(
    split: SplitModel, setting: KVSetting, arithmetic: str, prefixes: Prefixes | None = None
) -> KVLane:
    return KVLane(ModelHandle(split), setting, arithmetic, prefixes)


def reference_lane(split: SplitModel, prefixes: Prefixes | None = None) -> ReferenceLane:
    return ReferenceLane(ModelHandle(split), prefixes)


def sides(setting: KVSetting, label: str = "0", arithmetic: str = MLX) -> tuple[Side, Side]:
    return sides_of(setting.every_cache, CachePlace(0, label), arithmetic)


def dequantized_cache(
    cache: Any, setting: KVSetting, label: str = "0", arithmetic: str = MLX
) -> Any:
    made = sides(setting, label, arithmetic)
    return caches.dequantized_cache(cache, made, converting=setting.start == 0)


def codes_cache(cache: Any, setting: KVSetting, label: str = "0") -> CodesKVCache:
    return caches.codes_cache(cache, sides(setting, label), converting=setting.start == 0)


def convert_caches(held: list[Any], setting: KVSetting) -> None:
    caches.convert_caches(held, setting.k_bits, setting.group_size)


def quantizers(cache: CodesKVCache) -> Any:
    return tuple(side.quantizer for side in cache.sides)
