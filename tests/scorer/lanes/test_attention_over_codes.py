"""Attention over quantized caches, of each arithmetic, against a float64 oracle."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from kv_cases import codes_cache, convert_caches, dequantized_cache, kv_lane, quantizers
from mlx_lm.models import base as mlx_lm_base
from mlx_lm.models import cache as mlx_lm_cache
from mlx_lm.models import llama
from numpy.typing import NDArray
from oracle_affine import round_trip
from oracle_attention import attend
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.lanes.kv.attention_over_codes import attend_codes
from scorer.lanes.kv.lane import CODES, DEQUANTIZED, MLX_LM
from scorer.lm.patches import patched
from scorer.lm.split_model import SplitModel
from scorer.quantizers import affine
from scorer.spec.settings.kv import KVSetting

Array = NDArray[np.float32]
ARITHMETICS = (DEQUANTIZED, CODES, MLX_LM)
SHAPES = [(1, 4, 4, 64), (2, 6, 2, 64), (3, 8, 1, 32)]  # batch, query heads, KV heads, dimension


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def data(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def run(
    arithmetic: str, setting: KVSetting, q: Array, k: Array, v: Array, cuts: list[int]
) -> Array:
    """Feed tokens in the pieces that end at ``cuts``; the outputs of all pieces, joined.

    The cache converts before the piece that begins at the setting's start, as a lane does.
    """
    plain = mlx_lm_cache.KVCache()
    caches: list[Any] = [plain]
    if arithmetic == CODES:
        caches = [codes_cache(plain, setting)]
    elif arithmetic == DEQUANTIZED:
        caches = [dequantized_cache(plain, setting)]
    elif not setting.start:
        caches = [mlx_lm_cache.QuantizedKVCache(setting.group_size, setting.k_bits)]
    out = []
    begin = 0
    with patched():
        for end in cuts:
            if setting.start and begin == setting.start:
                convert_caches(caches, setting)
            part = [mx.array(x[..., begin:end, :]) for x in (q, k, v)]
            mask = caches[0].make_mask(end - begin, window_size=None, return_array=False)
            keys, values = caches[0].update_and_fetch(*part[1:])
            out.append(
                llama.scaled_dot_product_attention(
                    part[0], keys, values, caches[0], scale=q.shape[-1] ** -0.5, mask=mask
                )
            )
            begin = end
    return np.array(mx.concatenate(out, axis=2))


def expected(setting: KVSetting, q: Array, k: Array, v: Array) -> NDArray[np.float64]:
    """Queries before the start read whole keys and values, those from it on quantized ones."""
    group, start = setting.group_size, setting.start
    scale = q.shape[-1] ** -0.5
    restored = round_trip(k, setting.k_bits, group), round_trip(v, setting.v_bits, group)
    quantized = attend(q[:, :, start:], *restored, scale)
    if not start:
        return quantized
    prefix = attend(q[:, :, :start], k[:, :, :start], v[:, :, :start], scale)
    return np.concatenate([prefix, quantized], axis=2)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_attention_equals_the_oracle(
    arithmetic: str, bits: int, shape: tuple[int, int, int, int]
) -> None:
    batch, heads, kv_heads, dim = shape
    q, k, v = data(1, batch, heads, 33, dim), *data(2, 2, batch, kv_heads, 33, dim)
    setting = KVSetting(bits, bits, 32)
    for cuts in ([33], [20, 21, 33]):
        got = run(arithmetic, setting, q, k, v, cuts)
        np.testing.assert_allclose(got, expected(setting, q, k, v), atol=1e-5, rtol=0)


@pytest.mark.parametrize("start", [1, 13])
@pytest.mark.parametrize("arithmetic", ARITHMETICS)
def test_attention_across_the_start(arithmetic: str, start: int) -> None:
    q, k, v = data(3, 2, 6, 29, 64), *data(4, 2, 2, 3, 29, 64)
    setting = KVSetting(3, 3, 64, start)
    got = run(arithmetic, setting, q, k, v, [start, 29])
    np.testing.assert_allclose(got, expected(setting, q, k, v), atol=1e-5, rtol=0)


@pytest.mark.parametrize("arithmetic", [DEQUANTIZED, CODES])
@pytest.mark.parametrize("notation", ["k8v4", "k2v16", "k16v3", "5", "6:32", "k16v3@9"])
def test_attention_of_what_mlx_lm_cannot_hold(notation: str, arithmetic: str) -> None:
    """K and V of different widths in bits and in elements."""
    setting = KVSetting.parse(notation)
    q, k, v = data(5, 2, 4, 21, 128), data(6, 2, 2, 21, 128), data(7, 2, 2, 21, 192)
    got = run(arithmetic, setting, q, k, v, [9, 21])
    np.testing.assert_allclose(got, expected(setting, q, k, v), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["none", "bool", "additive", "batch", "heads"])
def test_attention_over_codes_takes_every_kind_of_mask(kind: str) -> None:
    batch, heads, length, dim = 2, 4, 11, 32
    q, k, v = data(8, batch, heads, length, dim), *data(9, 2, batch, 2, length, dim)
    seen = np.tril(np.ones((length, length), bool))
    if kind == "none":
        seen = np.ones_like(seen)
    elif kind in ("batch", "heads"):
        lead = 1 if kind == "batch" else heads
        drop = np.random.default_rng(1).random((batch, lead, length, length)) < 0.4
        seen = seen & (~drop | np.eye(length, dtype=bool))
    mask: Any = None if kind == "none" else mx.array(seen)
    if kind == "additive":
        mask = mx.where(mask, 0.0, -mx.inf)
    setting = KVSetting(4, 4, 32)
    cache = codes_cache(mlx_lm_cache.KVCache(), setting)
    held = cache.update_and_fetch(mx.array(k), mx.array(v))
    got = attend_codes(mx.array(q), quantizers(cache), dim**-0.5, mask, *held)
    oracle = attend(q, round_trip(k, 4, 32), round_trip(v, 4, 32), dim**-0.5, seen)
    np.testing.assert_allclose(np.array(got), oracle, atol=1e-5, rtol=0)


@pytest.mark.parametrize("tokens", [1, 2, 11, 12])
@pytest.mark.parametrize("notation", ["8:32", "3:32", "k16v4:32", "k4v16:32"])
def test_an_odd_length_changes_nothing(
    tokens: int, notation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    q, k, v = data(8, 2, 4, tokens, 32), *data(9, 2, 2, 2, tokens, 32)
    cache = codes_cache(mlx_lm_cache.KVCache(), KVSetting.parse(notation))
    held = cache.update_and_fetch(mx.array(k), mx.array(v))
    shapes = []
    multiply = mx.quantized_matmul

    def watched(x: mx.array, codes: mx.array, *rest: Any, **options: Any) -> mx.array:
        shapes.append(codes.shape[-2])
        return multiply(x, codes, *rest, **options)

    monkeypatch.setattr(mx, "quantized_matmul", watched)
    plain, odd = (
        np.array(attend_codes(mx.array(q), quantizers(cache), 0.2, "causal", *held))
        for needed in (False, True)
        if not monkeypatch.setattr(affine, "needs_odd_length", lambda n=needed: n)
    )
    np.testing.assert_allclose(odd, plain, atol=1e-6, rtol=0)
    sides = 2 - notation.count("16")
    assert shapes == [tokens] * sides + [tokens + 1 - tokens % 2] * sides


def test_attention_over_codes_leaves_the_queries_alone() -> None:
    """mlx-lm's own function scales the caller's array in place."""
    q = mx.array(data(10, 1, 2, 3, 32))
    before = np.array(q)
    cache = codes_cache(mlx_lm_cache.KVCache(), KVSetting(8, 8, 32))
    held = cache.update_and_fetch(q, q)
    mx.eval(attend_codes(q, quantizers(cache), 0.2, "causal", *held))
    np.testing.assert_array_equal(np.array(q), before)


def test_attention_sinks_over_codes_are_refused() -> None:
    cache = codes_cache(mlx_lm_cache.KVCache(), KVSetting(8, 8, 32))
    x = mx.array(data(11, 1, 2, 3, 32))
    held = cache.update_and_fetch(x, x)
    with patched(), pytest.raises(ValueError, match="sinks"):
        llama.scaled_dot_product_attention(
            x, *held, cache, scale=1.0, mask=None, sinks=x[0, :, 0, 0]
        )


def test_the_attention_of_model_files_is_put_back() -> None:
    own = mlx_lm_base.scaled_dot_product_attention
    with pytest.raises(KeyError), patched():
        assert llama.scaled_dot_product_attention is not own
        raise KeyError
    assert llama.scaled_dot_product_attention is own


@pytest.fixture(scope="module")
def model() -> nn.Module:
    return build_module(tiny_config("llama", head_dim=64))


def their_logits(model: Any, tokens: mx.array, setting: KVSetting) -> mx.array:
    """mlx-lm's own classes and functions and nothing else."""
    start = setting.start
    if not start:
        own = [
            mlx_lm_cache.QuantizedKVCache(setting.group_size, setting.k_bits) for _ in model.layers
        ]
        return model(tokens, cache=own)
    plain = mlx_lm_cache.make_prompt_cache(model)
    prefix = model(tokens[:, :start], cache=plain)
    converted = [c.to_quantized(setting.group_size, setting.k_bits) for c in plain]
    return mx.concatenate([prefix, model(tokens[:, start:], cache=converted)], axis=1)


@pytest.mark.parametrize("notation", ["8", "4:32", "2:32", "3", "4@7", "5:32@1"])
def test_the_mlx_lm_kernel_gives_mlx_lms_logits_in_every_bit(
    model: nn.Module, notation: str
) -> None:
    setting = KVSetting.parse(notation)
    tokens = mx.array(np.random.default_rng(12).integers(0, 320, (2, 40)))
    lane = kv_lane(SplitModel(model), setting, MLX_LM)
    hidden = lane.hidden(tokens)
    # Cut as theirs: a matrix product of another height may round otherwise.
    cuts = [0, setting.start, 40] if setting.start else [0, 40]
    got = [lane.logits(hidden, a, b) for a, b in itertools.pairwise(cuts)]
    expected = np.array(their_logits(model, tokens, setting))
    np.testing.assert_array_equal(np.array(mx.concatenate(got, axis=1)), expected)
    plain = np.array(model(tokens, cache=mlx_lm_cache.make_prompt_cache(model)))
    assert np.abs(expected - plain).max() > 1e-4, "nothing was quantized"


@pytest.mark.parametrize("notation", ["8", "4:32", "4@7"])
@pytest.mark.parametrize("arithmetic", [CODES, DEQUANTIZED])
def test_our_arithmetics_are_mlx_lms_up_to_rounding(
    model: nn.Module, arithmetic: str, notation: str
) -> None:
    setting = KVSetting.parse(notation)
    tokens = mx.array(np.random.default_rng(13).integers(0, 320, (2, 24)))
    lane = kv_lane(SplitModel(model), setting, arithmetic)
    got = np.array(lane.logits(lane.hidden(tokens), 0, 24))
    expected = np.array(their_logits(model, tokens, setting))
    # A code at the edge between two values may fall either way: all but a few rows agree.
    off = np.abs(got - expected).max(axis=-1)
    assert np.median(off) < 1e-4
    assert off.max() < 0.1
