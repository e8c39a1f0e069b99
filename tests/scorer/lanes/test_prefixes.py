"""Prefixes of a deployment: computed once, shared without one lane touching another's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from kv_cases import kv_lane, reference_lane
from numpy.typing import NDArray
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.lanes.base import ReferenceLane, completed
from scorer.lanes.continuity import check_continuity
from scorer.lanes.kv.lane import CODES, DEQUANTIZED, MLX_LM, KVLane
from scorer.lanes.prefixes import Prefixes
from scorer.lm.caches import cloned, fresh_caches
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel
from scorer.spec.settings.kv import KVSetting
from scorer.spec.settings.registry import parse_settings

LENGTH = 40


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


class Counting(SplitModel):
    """Counts the tokens that go through the body."""

    tokens = 0

    def hidden(self, tokens: mx.array, caches: list[Any]) -> mx.array:
        self.tokens += tokens.size
        return super().hidden(tokens, caches)


def ids(batch: int = 1, seed: int = 0) -> mx.array:
    return mx.array(np.random.default_rng(seed).integers(0, 256, (batch, LENGTH)))


def built(architecture: str = "llama", **changes: Any) -> Counting:
    if architecture == "llama":
        changes = {"head_dim": 64} | changes
    return Counting(build_module(tiny_config(architecture, **changes)))


def states(lane: KVLane | ReferenceLane, tokens: mx.array) -> NDArray[np.float32]:
    return np.array(lane.hidden(tokens))


def alone(split: SplitModel, setting: KVSetting, arithmetic: str, tokens: mx.array) -> Any:
    hidden, engagement = completed(kv_lane(split, setting, arithmetic).begin(tokens))
    return np.array(hidden), engagement


@pytest.mark.parametrize("arithmetic", [DEQUANTIZED, CODES, MLX_LM])
@pytest.mark.parametrize("cut_out", [False, True])
def test_shared_prefixes_change_nothing_and_are_computed_once(
    arithmetic: str, cut_out: bool
) -> None:
    split, tokens = built(), ids()
    settings = parse_settings("8@24,4:32@24,2:32@24,8@9,3@9")
    expected = [alone(split, setting, arithmetic, tokens) for setting in settings]
    found = check_continuity(reference_lane(split), tokens, {24, 9}, "llama")
    equal = found if cut_out else frozenset()
    prefixes = Prefixes(ModelHandle(split), equal)
    split.tokens = 0
    states(reference_lane(split, prefixes), tokens)
    lanes = [kv_lane(split, setting, arithmetic, prefixes) for setting in settings]
    for lane, (own, engagement) in zip(lanes, expected, strict=True):
        hidden, found = completed(lane.begin(tokens))
        assert np.array_equal(np.array(hidden), own)
        assert found == engagement
    whole = LENGTH + 3 * (LENGTH - 24) + 2 * (LENGTH - 9)
    assert split.tokens == whole + sum({24, 9} - equal)
    # In another order, a second time: nothing was written into what is shared.
    for lane, (own, _) in reversed(list(zip(lanes, expected, strict=True))):
        assert np.array_equal(states(lane, tokens), own)


def test_a_prefix_of_the_same_bits_is_found_and_one_of_others_is_not() -> None:
    split, tokens = built(), ids()
    assert check_continuity(reference_lane(split), tokens, {0}, "llama") == frozenset()

    class Rounding(Counting):
        def hidden(self, tokens: mx.array, caches: list[Any]) -> mx.array:
            hidden = super().hidden(tokens, caches)
            return hidden if tokens.shape[1] == LENGTH else hidden * (1 + 2.0**-22)

    other = Rounding(split.model)
    assert check_continuity(reference_lane(other), tokens, {24}, "llama") == frozenset()


@pytest.mark.parametrize(
    "architecture", ["gemma3", "qwen3_next", "llama4", "deepseek_v32", "falcon_h1"]
)
def test_caches_of_every_kind_are_shared(architecture: str) -> None:
    split, tokens = built(architecture), ids(batch=2)
    settings = [KVSetting(bits, bits, 32, start=24, path="dequantized") for bits in (8, 2)]
    try:
        expected = [alone(split, setting, DEQUANTIZED, tokens)[0] for setting in settings]
    except ValueError as error:
        pytest.skip(f"cannot be quantized in groups of 32: {error}")
    prefixes = Prefixes(ModelHandle(split))
    split.tokens = 0
    for setting, own in zip(settings, expected, strict=True):
        assert np.array_equal(states(kv_lane(split, setting, DEQUANTIZED, prefixes), tokens), own)
    assert split.tokens == tokens.shape[0] * (24 + 2 * (LENGTH - 24))


def test_another_batch_has_another_prefix() -> None:
    split = built()
    setting = KVSetting.parse("4@24")
    prefixes = Prefixes(ModelHandle(split), frozenset({24}))
    lane = kv_lane(split, setting, DEQUANTIZED, prefixes)
    for seed in (1, 2, 1):
        tokens = ids(seed=seed)
        states(reference_lane(split, prefixes), tokens)
        got = states(lane, tokens)
        assert np.array_equal(got[:, :24], states(reference_lane(split), tokens[:, :24]))
    # Without a pass of the reference before it, as where only this lane is left to score.
    tokens = ids(seed=3)
    assert np.array_equal(states(lane, tokens), alone(split, setting, DEQUANTIZED, tokens)[0])


def test_several_chunks_are_not_cut_out_of_the_references_pass() -> None:
    split, tokens = built(), ids(batch=3)
    prefixes = Prefixes(ModelHandle(split), frozenset({24}))
    states(reference_lane(split, prefixes), tokens)
    split.tokens = 0
    states(kv_lane(split, KVSetting.parse("4@24"), DEQUANTIZED, prefixes), tokens)
    assert split.tokens == tokens.size


def test_a_clone_is_written_to_alone() -> None:
    split, tokens = built(), ids()
    caches = fresh_caches(split.model)
    mx.eval(split.hidden(tokens[:, :24], caches))
    before = [np.array(cache.keys) for cache in caches]
    copies = [cloned(cache) for cache in caches]
    mx.eval(split.hidden(tokens[:, 24:], copies))
    assert [cache.offset for cache in caches] == [24] * len(caches)
    assert [cache.offset for cache in copies] == [LENGTH] * len(caches)
    for cache, kept in zip(caches, before, strict=True):
        assert np.array_equal(np.array(cache.keys), kept)
