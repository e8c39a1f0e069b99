"""Which version of a quantizer computes, and that all of them are one quantizer."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import numpy as np
import pytest
from oracle_affine import round_trip

from scorer.device.cpu_arithmetic import MLX, NUMPY
from scorer.quantizers import affine, choose
from scorer.quantizers.affine import Affine
from scorer.quantizers.affine_fused import AffineFused
from scorer.quantizers.affine_numpy import AffineNumpy
from scorer.quantizers.choose import quantizer_for
from scorer.spec.quantizers import affine as described


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def rows(*shape: int) -> mx.array:
    return mx.array(np.random.default_rng(5).standard_normal(shape).astype(np.float32))


def test_each_device_and_arithmetic_has_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    assert type(quantizer_for(described.Affine(4, 64))) is Affine
    assert type(quantizer_for(described.Affine(4, 64), MLX, "cpu")) is Affine
    assert type(quantizer_for(described.Affine(4, 64), NUMPY)) is AffineNumpy
    assert type(quantizer_for(described.Affine(4, 64), MLX, "metal")) is AffineFused
    with monkeypatch.context() as patch:
        # Groups that no warp can share are left to MLX.
        patch.setattr(choose, "GROUPS", (32, 64))
        assert type(quantizer_for(described.Affine(4, 128), MLX, "cuda")) is Affine
    monkeypatch.setattr(mx, "default_device", lambda: mx.gpu)
    assert type(quantizer_for(described.Affine(4, 64))) is AffineFused


@pytest.mark.parametrize("arithmetic", [MLX, NUMPY])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_codes_and_round_trip_are_one_function(bits: int, arithmetic: str) -> None:
    quantizer = quantizer_for(described.Affine(bits, 32), arithmetic)
    x = rows(2, 3, 9, 64)
    stored = quantizer.quantize(x)
    assert [array.shape for array in stored] == [(2, 3, 9, 2 * bits), (2, 3, 9, 2), (2, 3, 9, 2)]
    restored, check = quantizer.round_trip(x)
    assert mx.array_equal(quantizer.dequantize(stored), restored)
    assert np.array(check).reshape(-1, 2).max(axis=0).tolist() == [0, 1]
    np.testing.assert_array_equal(np.array(restored), round_trip(np.array(x), bits, 32))


@pytest.mark.parametrize("tokens", [1, 8, 9])
@pytest.mark.parametrize("odd", [False, True])
def test_a_product_with_codes_is_one_with_what_they_stand_for(
    tokens: int, odd: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(affine, "needs_odd_length", lambda: odd)
    quantizer = quantizer_for(described.Affine(4, 32))
    stored = quantizer.quantize(rows(2, 3, tokens, 64))
    vectors = quantizer.dequantize(stored)
    queries, weights = rows(2, 3, 5, 64), rows(2, 3, 5, tokens)
    for x, other, transpose in (
        (queries, vectors.swapaxes(-1, -2), True),
        (weights, vectors, False),
    ):
        got = quantizer.matmul(x, stored, transpose=transpose)
        np.testing.assert_allclose(np.array(got), np.array(x @ other), rtol=0, atol=1e-4)
