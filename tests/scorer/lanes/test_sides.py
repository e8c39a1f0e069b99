"""Caches know where they stand, which side is which, and what quantizes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import pytest
from kv_cases import kv_lane, sides
from mlx_lm.models.cache import ArraysCache, CacheList, KVCache
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.device.cpu_arithmetic import MLX, NUMPY
from scorer.lanes.kv.lane import CODES, DEQUANTIZED
from scorer.lm.caches import filled_labels, walk
from scorer.lm.measured_geometry import measured_geometry
from scorer.lm.split_model import SplitModel
from scorer.quantizers.affine import Affine
from scorer.quantizers.affine_numpy import AffineNumpy
from scorer.spec.settings.kv import KVSetting


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def places(caches: list[Any]) -> list[tuple[int | None, str, str]]:
    return [
        (side.place.index, side.place.label, side.name)
        for entry in walk(caches)
        for side in getattr(entry.cache, "sides", ())
    ]


def test_a_setting_gives_each_side_its_quantizer() -> None:
    keys, values = sides(KVSetting(8, 3, 32), arithmetic=NUMPY)
    assert isinstance(keys.quantizer, AffineNumpy) and isinstance(values.quantizer, AffineNumpy)
    assert (keys.quantizer.bits, values.quantizer.bits) == (8, 3)
    assert keys.quantizer.group_size == values.quantizer.group_size == 32
    assert (keys.name, values.name) == ("k", "v")
    keys, values = sides(KVSetting(16, 4, 64), arithmetic=MLX)
    assert keys.quantizer is None and not keys.quantizes
    assert type(values.quantizer) is Affine and values.quantizes
    x = mx.random.normal((1, 1, 3, 64))
    assert keys.round_trip(x) is x and keys.stored(x) is x and keys.tokens == 0
    assert values.round_trip(x) is not x and values.tokens == 3


@pytest.mark.parametrize("arithmetic", [DEQUANTIZED, CODES])
def test_the_caches_of_a_lane_are_in_the_order_of_the_geometry(arithmetic: str) -> None:
    split = SplitModel(build_module(tiny_config("llama", head_dim=64)))
    layers = len(measured_geometry(split).layers)
    lane = kv_lane(split, KVSetting(8, 8, 32), arithmetic)
    assert places(lane.make_caches()) == [
        (layer, str(layer), side) for layer in range(layers) for side in "kv"
    ]


def test_state_and_composite_caches_keep_their_place_in_the_list() -> None:
    split = SplitModel(build_module(tiny_config("falcon_h1")))
    geometry = measured_geometry(split)
    lane = kv_lane(split, KVSetting(8, 8, 32), DEQUANTIZED)
    found = places(lane.make_caches())
    assert len(found) == 2 * len(geometry.layers)
    assert [index for index, _, _ in found[::2]] == list(range(len(geometry.layers)))
    assert all("." in label for _, label, _ in found)


def test_a_cache_that_the_model_never_fills_has_no_layer() -> None:
    split = SplitModel(build_module(tiny_config("llama", head_dim=64)))
    filled, unused = KVCache(), KVCache()
    filled.update_and_fetch(mx.ones((1, 1, 2, 64)), mx.ones((1, 1, 2, 64)))
    listed = [ArraysCache(1), unused, CacheList(ArraysCache(1), filled), filled]
    assert filled_labels(listed) == ("2.1", "3")
    split.kv_labels = filled_labels(listed)
    made = kv_lane(split, KVSetting(8, 8, 32), DEQUANTIZED).make_caches(listed)
    assert places(made)[::2] == [(None, "1", "k"), (0, "2.1", "k"), (1, "3", "k")]
    split.kv_labels = None
    made = kv_lane(split, KVSetting(8, 8, 32), DEQUANTIZED).make_caches(listed)
    assert places(made)[::2] == [(0, "1", "k"), (1, "2.1", "k"), (2, "3", "k")]
