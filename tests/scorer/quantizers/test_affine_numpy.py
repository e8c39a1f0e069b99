"""The quantizer in NumPy against MLX's own, bit for bit, and against the independent oracle."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from typing import Any

import hypothesis.extra.numpy as numbers
import hypothesis.strategies as st
import mlx.core as mx
import numpy as np
import oracle_affine
import pytest
from hypothesis import given
from kv_cases import dequantized_cache
from numpy.typing import NDArray

from scorer.device.cpu_arithmetic import MLX, NUMPY
from scorer.lm.caches import fresh_caches
from scorer.quantizers import affine_numpy
from scorer.quantizers.affine import Affine
from scorer.quantizers.affine_numpy import AffineNumpy
from scorer.spec.settings.kv import KVSetting

BITS, GROUPS = (2, 3, 4, 5, 6, 8), (32, 64, 128)
LARGE = 2.0**99


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def rows(count: int = 700, width: int = 128, seed: int = 0) -> NDArray[np.float32]:
    """Ordinary rows, and those at the edges of the rule: zero, constant, of one sign, tiny."""
    x = np.random.default_rng(seed).standard_normal((count, width)).astype(np.float32)
    x[0], x[1], x[2], x[3] = 0, 2.5, -2.5, np.float32(1e-9)
    x[4], x[5] = np.abs(x[4]) + 1, -np.abs(x[5]) - 1
    x[6] *= np.float32(1e30)
    x[7] = np.where(np.arange(width) % 2, 3, -3)
    x[8, 1:] = 0
    return x


def round_trip(x: mx.array, bits: int, group: int) -> tuple[mx.array, mx.array]:
    return AffineNumpy(bits, group).round_trip(x)


def by_mlx(x: mx.array, bits: int, group: int) -> NDArray[np.float32]:
    codes = mx.quantize(x, group_size=group, bits=bits)
    return np.array(mx.dequantize(*codes, group_size=group, bits=bits))


def same(found: Any, expected: NDArray[np.float32]) -> None:
    """Equal; an Arm compiler may add and multiply in one rounding where x86 takes two."""
    if platform.machine() in ("x86_64", "AMD64"):
        np.testing.assert_array_equal(np.array(found), expected)
    else:
        np.testing.assert_allclose(np.array(found), expected, rtol=3e-7, atol=1e-6)


@pytest.mark.parametrize("bits", BITS)
@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("shape", [(700, 128), (2, 5, 70, 128), (1, 128)], ids=str)
def test_it_is_mlxs_quantizer(bits: int, group: int, shape: tuple[int, ...]) -> None:
    x = rows()[: np.prod(shape[:-1])].reshape(shape)
    found = round_trip(mx.array(x), bits, group)
    restored, check = found
    assert restored.shape == shape and not check[0].item()
    same(restored, by_mlx(mx.array(x), bits, group))
    np.testing.assert_array_equal(np.array(restored), oracle_affine.round_trip(x, bits, group))


@given(
    numbers.arrays(
        np.float32,
        (3, 32),
        elements=st.floats(-LARGE, LARGE, width=32),
    ),
    st.sampled_from(BITS),
)
def test_any_finite_rows(x: NDArray[np.float32], bits: int) -> None:
    with mx.stream(mx.cpu):
        found = round_trip(mx.array(x), bits, 32)
        same(found[0], by_mlx(mx.array(x), bits, 32))
        assert np.array(found[1]).tolist() == [False, bool((np.array(found[0]) != x).any())]


def test_views_are_read_in_their_own_order() -> None:
    x = mx.array(rows(96).reshape(2, 4, 12, 128)).transpose(0, 2, 1, 3)[:, 3:]
    found = round_trip(x, 4, 64)
    same(found[0], by_mlx(x, 4, 64))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_told(bad: float) -> None:
    x = rows()
    x[650, 77] = bad
    found = round_trip(mx.array(x), 8, 64)
    assert found[1][0].item()


def test_whether_anything_changed_is_told() -> None:
    exact = mx.array(np.tile(np.arange(16, dtype=np.float32), (300, 4)))
    assert not round_trip(exact, 4, 64)[1][1].item()
    assert round_trip(exact, 3, 64)[1][1].item()
    last = np.array(exact)
    last[-1, -1] = 14.5
    assert round_trip(mx.array(last), 4, 64)[1][1].item()


def test_other_dtypes_are_left_to_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    x = mx.array(rows(40)[8:]).astype(mx.float16)
    monkeypatch.setattr(affine_numpy, "_round_trip", None)
    for found, expected in zip(round_trip(x, 4, 64), Affine(4, 64).round_trip(x), strict=True):
        assert found.dtype == expected.dtype and mx.array_equal(found, expected)
    with pytest.raises(ValueError, match="empty array"):
        round_trip(mx.ones((0, 64)), 4, 64)


@pytest.mark.parametrize("start", [0, 7])
def test_a_cache_holds_the_same_under_both_arithmetics(start: int) -> None:
    setting = KVSetting.parse("k8v3:32" + (f"@{start}" if start else ""))
    held = []
    for arithmetic in (MLX, NUMPY):
        cache = dequantized_cache(fresh_caches(_OneLayer())[0], setting, arithmetic=arithmetic)
        x = mx.array(rows(40).reshape(1, 2, 20, 128))
        if start:
            cache.update_and_fetch(x[:, :, :start], -x[:, :, :start])
            cache.convert()
        keys, values = cache.update_and_fetch(x[:, :, start:], -x[:, :, start:])
        held.append((np.array(keys), np.array(values)))
        assert [side.tokens for side in cache.sides] == [20, 20]
        checks = [np.array(check).tolist() for side in cache.sides for check in side.checks]
        assert checks and all(check == [False, True] for check in checks)
    for plain, fast in zip(*held, strict=True):
        same(fast, plain)


class _OneLayer:
    layers = (None,)


def test_numpy_takes_no_operation_of_mlxs(monkeypatch: pytest.MonkeyPatch) -> None:
    x = mx.array(rows(40))
    monkeypatch.setattr(Affine, "quantize", None)
    AffineNumpy(4, 64).round_trip(x)
    with pytest.raises(TypeError):
        Affine(4, 64).round_trip(x)
