"""The caches hold what MLX's quantizer gives, bit for bit, also where mlx-lm's class crashes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from kv_cases import codes_cache, convert_caches, dequantized_cache, sides
from mlx_lm.models import cache as mlx_lm_cache
from numpy.typing import NDArray
from oracle_affine import quantize, round_trip

from scorer.common.errors import InputError
from scorer.lanes.kv.caches import CodesKVCache
from scorer.lm.caches import replace_caches
from scorer.spec.settings.kv import BITS, KVSetting

Array = NDArray[np.floating]
GROUPS = (32, 64, 128)
HEAD_DIMS = (64, 80, 96, 128, 192, 256)
HELD = [(dim, group) for dim in HEAD_DIMS for group in GROUPS if dim % group == 0]
# Blocks that fill a cache in one go, in steps that cross its buffer of 256, and token by token.
GROWTHS = [(300,), (200, 56, 1, 1, 300), (1, 1, 1)]


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def data(seed: int, *shape: int, dtype: type = np.float32) -> Array:
    rows = np.random.default_rng(seed).standard_normal(shape)
    return rows.astype(dtype)


def setting(k: int, v: int, group: int, start: int = 0) -> KVSetting:
    return KVSetting(k, v, group, start)


def blocks(x: Array, growth: tuple[int, ...]) -> list[mx.array]:
    cuts = np.cumsum(growth)[:-1]
    return [mx.array(part) for part in np.split(x, cuts, axis=-2)]


def same(got: Any, expected: Any) -> None:
    """Equal in every bit, shape and dtype, tuples part by part."""
    if isinstance(expected, tuple):
        assert isinstance(got, (tuple, list))
        for a, b in zip(got, expected, strict=True):
            same(a, b)
        return
    a, b = np.array(got), np.array(expected)
    assert (a.dtype, a.shape) == (b.dtype, b.shape)
    np.testing.assert_array_equal(a.view(np.uint8), b.view(np.uint8))


def packed(x: Array, bits: int, group: int) -> Any:
    """Codes, scales and biases by the oracle; the array itself at 16 bits."""
    if bits == 16:
        return x
    made = quantize(x, bits, group)
    return made.words, made.scales, made.biases


def edge_rows(dtype: type) -> Array:
    """Groups of 32 that reach the quantizer's corners."""
    rng = np.random.default_rng(0)
    ramp = np.linspace(0, 1, 32)
    rows = [
        np.zeros(32),
        np.full(32, 3.0),
        np.full(32, -0.37),
        1 + ramp,
        -1 - ramp,
        ramp - 0.5,
        np.where(ramp > 0.9, 1, -1.0),
        1e-6 * (ramp - 0.3),
        1e-8 * ramp,
        6e4 * (ramp - 0.5),
        np.eye(1, 32, 7)[0],
        -np.eye(1, 32, 31)[0],
        np.arange(32) / 2.0,
        np.round(ramp * 6) - 3.5,
        rng.standard_cauchy(32).clip(-6e4, 6e4),
    ]
    return np.array(rows).astype(dtype)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("bits", BITS)
def test_the_oracle_is_mlx_quantizer_in_every_bit(bits: int, dtype: type) -> None:
    for group in GROUPS:
        for x in (
            data(bits, 40, 256, dtype=dtype),
            np.repeat(edge_rows(dtype), group // 32, axis=-1),
            edge_rows(dtype)[:12].reshape(-1, 128),
        ):
            codes = mx.quantize(mx.array(x), group_size=group, bits=bits)
            same(tuple(codes), packed(x, bits, group))
            back = mx.dequantize(*codes, group_size=group, bits=bits)
            same(back, round_trip(x, bits, group))


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@given(
    x=arrays(np.float16, (3, 32), elements=st.floats(-6e4, 6e4, width=16)),
    bits=st.sampled_from(BITS),
)
def test_the_oracle_follows_the_quantizer_on_any_rows(x: Array, bits: int, dtype: type) -> None:
    rows = x.astype(dtype)
    same(tuple(mx.quantize(mx.array(rows), group_size=32, bits=bits)), packed(rows, bits, 32))


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize(("dim", "group"), HELD)
def test_codes_equal_those_of_mlx_lm(dim: int, group: int, bits: int) -> None:
    """Where mlx-lm's class crashes, ours holds what the quantizer gives."""
    k, v = data(1, 2, 3, 20, dim), data(2, 2, 3, 20, dim)
    ours = codes_cache(mlx_lm_cache.KVCache(), setting(bits, bits, group))
    got = ours.update_and_fetch(mx.array(k), mx.array(v))
    same(got, (packed(k, bits, group), packed(v, bits, group)))
    theirs = mlx_lm_cache.QuantizedKVCache(group_size=group, bits=bits)
    try:
        expected = theirs.update_and_fetch(mx.array(k), mx.array(v))
    except ValueError:
        assert bits in (3, 5, 6)
        return
    assert ours.offset == theirs.offset == 20
    same(got, expected)


def test_mlx_lm_still_holds_what_it_is_known_to_hold() -> None:
    """The comparison above must not pass by mlx-lm refusing everything."""
    for bits, dim in ((2, 64), (4, 128), (8, 256), (3, 64), (5, 64), (6, 64)):
        theirs = mlx_lm_cache.QuantizedKVCache(group_size=64, bits=bits)
        x = mx.array(data(0, 1, 1, 4, dim))
        same(theirs.update_and_fetch(x, x)[0], packed(np.array(x), bits, 64))


@pytest.mark.parametrize("growth", GROWTHS)
@pytest.mark.parametrize("bits", [3, 8])
def test_growing_a_cache_changes_nothing(bits: int, growth: tuple[int, ...]) -> None:
    total = sum(growth)
    k, v = data(3, 1, 2, total, 64), data(4, 1, 2, total, 64)
    ours = codes_cache(mlx_lm_cache.KVCache(), setting(bits, bits, 32))
    theirs = mlx_lm_cache.QuantizedKVCache(group_size=32, bits=bits)
    dense = dequantized_cache(mlx_lm_cache.KVCache(), setting(bits, bits, 32))
    held: Any = None
    for key, value in zip(blocks(k, growth), blocks(v, growth), strict=True):
        held = ours.update_and_fetch(key, value)
        same(held, theirs.update_and_fetch(key, value))
        restored = dense.update_and_fetch(key, value)
    assert ours.offset == dense.offset == total
    same(held, (packed(k, bits, 32), packed(v, bits, 32)))
    same(restored, (round_trip(k, bits, 32), round_trip(v, bits, 32)))


@pytest.mark.parametrize(("k_bits", "v_bits"), [(8, 4), (2, 6), (16, 4), (3, 16)])
@pytest.mark.parametrize(("k_dim", "v_dim"), [(64, 64), (128, 64), (96, 160)])
def test_keys_and_values_are_apart(k_bits: int, v_bits: int, k_dim: int, v_dim: int) -> None:
    k, v = data(5, 2, 2, 7, k_dim), data(6, 2, 2, 7, v_dim)
    group = 32
    codes = codes_cache(mlx_lm_cache.KVCache(), setting(k_bits, v_bits, group))
    dense = dequantized_cache(mlx_lm_cache.KVCache(), setting(k_bits, v_bits, group))
    for part in (slice(0, 3), slice(3, 7)):
        new = mx.array(k[..., part, :]), mx.array(v[..., part, :])
        got = codes.update_and_fetch(*new), dense.update_and_fetch(*new)
    same(got[0], (packed(k, k_bits, group), packed(v, v_bits, group)))
    same(got[1], (round_trip(k, k_bits, group), round_trip(v, v_bits, group)))
    # Bytes of one of two sequences: codes of `bits` a element, a float32 scale and bias a group.
    for index, (bits, dim) in enumerate(((k_bits, k_dim), (v_bits, v_dim))):
        row = dim * 4 if bits == 16 else dim * bits // 8 + 8 * dim // group
        assert codes.stored_bytes(index) == 2 * 7 * row


@pytest.mark.parametrize("start", [1, 5, 256, 300])
@pytest.mark.parametrize("name", ["codes", "dequantized", "mlx-lm"])
def test_the_first_tokens_stay_whole_until_the_whole_cache_converts(name: str, start: int) -> None:
    total, bits, group = start + 9, 4, 64
    k, v = data(7, 2, 2, total, 64), data(8, 2, 2, total, 64)
    asked = setting(bits, bits, group, start)
    plain = mlx_lm_cache.KVCache()
    caches: list[Any] = [
        {
            "codes": lambda: codes_cache(plain, asked),
            "dequantized": lambda: dequantized_cache(plain, asked),
            "mlx-lm": lambda: plain,
        }[name]()
    ]
    prefix = caches[0].update_and_fetch(mx.array(k[..., :start, :]), mx.array(v[..., :start, :]))
    same(prefix, (k[..., :start, :], v[..., :start, :]))
    convert_caches(caches, asked)
    got = caches[0].update_and_fetch(mx.array(k[..., start:, :]), mx.array(v[..., start:, :]))
    if name == "dequantized":
        same(got, (round_trip(k, bits, group), round_trip(v, bits, group)))
        assert [side.tokens for side in caches[0].sides] == [total, total]
    else:
        same(got, (packed(k, bits, group), packed(v, bits, group)))
    assert caches[0].offset == total


def test_converting_twice_converts_once() -> None:
    k, v = data(9, 1, 2, 40, 64), data(10, 1, 2, 40, 64)
    for make in (codes_cache, dequantized_cache):
        caches: list[Any] = [make(mlx_lm_cache.KVCache(), setting(3, 3, 64, 40))]
        caches[0].update_and_fetch(mx.array(k), mx.array(v))
        convert_caches(caches, setting(3, 3, 64, 40))
        convert_caches(caches, setting(3, 3, 64, 40))
        assert caches[0].sides[0].tokens == 40
        assert len(caches[0].sides[0].checks) == 1


def test_a_rotating_cache_gets_quantized_tokens_and_keeps_its_own_ways() -> None:
    k, v = data(11, 1, 2, 30, 32), data(12, 1, 2, 30, 32)
    ours = dequantized_cache(mlx_lm_cache.RotatingKVCache(max_size=8), setting(4, 3, 32))
    theirs = mlx_lm_cache.RotatingKVCache(max_size=8)
    assert isinstance(ours, mlx_lm_cache.RotatingKVCache)
    for growth in (slice(0, 12), slice(12, 13), slice(13, 14), slice(14, 30)):
        got = ours.update_and_fetch(mx.array(k[..., growth, :]), mx.array(v[..., growth, :]))
        expected = theirs.update_and_fetch(
            mx.array(round_trip(k[..., growth, :], 4, 32)),
            mx.array(round_trip(v[..., growth, :], 3, 32)),
        )
        same(got, expected)
    with pytest.raises(InputError, match="RotatingKVCache"):
        codes_cache(mlx_lm_cache.RotatingKVCache(max_size=8), setting(4, 4, 32))


def test_caches_inside_a_composite_are_replaced_and_others_stay() -> None:
    state = mlx_lm_cache.ArraysCache(size=2)
    mixed = mlx_lm_cache.CacheList(mlx_lm_cache.KVCache(), mlx_lm_cache.KVCache())
    asked = setting(8, 8, 32, 3)
    replaced = replace_caches([state, mixed], lambda entry: dequantized_cache(entry.cache, asked))
    assert replaced[0] is state
    k = data(13, 1, 1, 3, 32)
    for inner in replaced[1].caches:
        same(inner.update_and_fetch(mx.array(k), mx.array(k)), (k, k))
    convert_caches(replaced, asked)
    for inner in replaced[1].caches:
        same(inner.keys_and_values()[0], round_trip(k, 8, 32))


def test_a_width_of_zero_passes_through() -> None:
    cache = dequantized_cache(mlx_lm_cache.KVCache(), setting(4, 4, 32))
    k = data(14, 1, 2, 5, 32)
    keys, values = cache.update_and_fetch(mx.array(k), mx.zeros((1, 2, 5, 0)))
    same(keys, round_trip(k, 4, 32))
    assert values.shape == (1, 2, 5, 0)
    assert cache.sides[1].tokens == 0


def test_a_replaced_cache_does_not_look_like_mlx_lms_quantized_one() -> None:
    """mlx-lm takes an attribute ``bits`` as the sign to run its own quantized attention."""
    for make in (codes_cache, dequantized_cache):
        assert not hasattr(make(mlx_lm_cache.KVCache(), setting(4, 4, 64)), "bits")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_noticed_on_its_way_in(bad: float) -> None:
    """MLX's quantizer swallows NaN: ones and a NaN come back as ones."""
    x = np.ones((1, 1, 2, 64), np.float32)
    x[0, 0, 1, 5] = bad
    for make in (codes_cache, dequantized_cache):
        cache = make(mlx_lm_cache.KVCache(), setting(8, 8, 64))
        cache.update_and_fetch(mx.array(np.ones_like(x)), mx.array(x))
        finite = [not side.checks[0][0].item() for side in cache.sides]
        assert finite == [True, False]


def test_an_empty_cache_says_so() -> None:
    cache = CodesKVCache(sides(setting(8, 8, 64)), converting=True)
    assert cache.empty()
    assert cache.size() == cache.stored_bytes(0) == 0
    cache.update_and_fetch(mx.ones((1, 1, 3, 64)), mx.ones((1, 1, 3, 64)))
    assert not cache.empty()
    assert cache.size() == 3
