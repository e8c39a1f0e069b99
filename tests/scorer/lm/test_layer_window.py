"""Layers given to the device as they are built: the same numbers, and no more queued than asked."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from kv_cases import reference_lane
from loop_cases import LENGTH, ids, lanes
from mlx_lm.models.cache import CacheList, KVCache, RotatingKVCache
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.lanes.kv.lane import CODES, DEQUANTIZED
from scorer.lm import layer_window as windows
from scorer.lm.caches import fresh_caches
from scorer.lm.layer_window import layer_window
from scorer.lm.split_model import SplitModel

LAYERS = 2


@pytest.fixture(scope="module")
def split() -> SplitModel:
    sizes = {"hidden_size": 64, "num_hidden_layers": LAYERS, "intermediate_size": 96}
    return SplitModel(build_module(tiny_config("llama", head_dim=64, **sizes)))


def tokens() -> mx.array:
    return mx.array(ids()[:, :-1])


@pytest.mark.parametrize("layers", [1, 2, 5])
@pytest.mark.parametrize("setting", [None, "4", "8@7", "k8v3"])
@pytest.mark.parametrize("arithmetic", [DEQUANTIZED, CODES])
def test_a_pass_is_the_same(
    split: SplitModel, layers: int, setting: str | None, arithmetic: str
) -> None:
    def states() -> Any:
        lane = reference_lane(split) if setting is None else lanes(split, setting, arithmetic)[0]
        return np.array(lane.hidden(tokens()))

    plain = states()
    split.layers_ahead = layers
    try:
        np.testing.assert_array_equal(states(), plain)
    finally:
        split.layers_ahead = 0


def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    said: list[str] = []
    begin, wait = windows.dispatch, windows.wait
    monkeypatch.setattr(windows, "dispatch", lambda *given: (said.append("begin"), begin(*given)))
    monkeypatch.setattr(windows, "wait", lambda *given: (said.append("wait"), wait(*given)))
    return said


@pytest.mark.parametrize(
    ("layers", "order"),
    [(0, []), (1, ["begin", "begin", "wait"]), (2, ["begin", "begin"])],
)
def test_layers_are_begun_as_they_are_built_and_waited_for(
    split: SplitModel, monkeypatch: pytest.MonkeyPatch, layers: int, order: list[str]
) -> None:
    said = told(monkeypatch)
    monkeypatch.setattr(split, "layers_ahead", layers)
    split.hidden(tokens(), fresh_caches(split.model))
    assert said == order


def test_caches_are_as_before_once_the_pass_is_built() -> None:
    def own(*_: Any) -> tuple[mx.array, mx.array]:
        return keys, keys

    keys = mx.ones((1, 1, 4, 8))
    plain, hooked, parts = KVCache(), KVCache(), CacheList(KVCache(), RotatingKVCache(8))
    hooked.update_and_fetch = own
    with pytest.raises(ZeroDivisionError), layer_window([plain, hooked, parts, object()], 1):
        for cache in (plain, hooked, *parts.caches):
            assert "update_and_fetch" in vars(cache)
            found = cache.update_and_fetch(keys, keys)
            assert mx.array_equal(found[0], keys)
        raise ZeroDivisionError
    assert hooked.update_and_fetch is own
    for cache in (plain, *parts.caches):
        assert "update_and_fetch" not in vars(cache)
    assert plain.offset == 4 and LENGTH > 4


def test_layers_are_those_of_the_model(split: SplitModel) -> None:
    assert len(fresh_caches(split.model)) == LAYERS
