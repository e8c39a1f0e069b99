"""Linear layers in NumPy against a float64 oracle."""

from __future__ import annotations

from collections.abc import Iterator

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest
from mlx_lm.models.switch_layers import SwitchLinear
from numpy.typing import NDArray

from scorer.device import threads as cpu_threads
from scorer.lm.cpu.linear import has_stacked_matrices, linear

Array = NDArray[np.float32]


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu), cpu_threads.single_threaded_numpy_blas:
        yield


def data(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def product(x: mx.array, weight: mx.array, bias: mx.array | None = None) -> Array:
    found = linear(x, weight, bias)
    assert found is not None
    return np.array(found)


@pytest.mark.parametrize("rows", [(1, 1), (70,), (2, 3, 70), ()], ids=str)
@pytest.mark.parametrize("columns", [1, 64, 500, 9000])
@pytest.mark.parametrize("biased", [False, True])
def test_every_shape(rows: tuple[int, ...], columns: int, biased: bool) -> None:
    x, weight, bias = data(1, *rows, 48), data(2, columns, 48), data(3, columns)
    expected = x.astype(np.float64) @ weight.T.astype(np.float64) + (bias if biased else 0)
    got = product(mx.array(x), mx.array(weight), mx.array(bias) if biased else None)
    assert got.shape == (*rows, columns)
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_lazy_and_strided_arrays() -> None:
    x, weight = mx.array(data(1, 40, 3, 48)), mx.array(data(2, 48, 300))
    moved, turned = (x + 1).transpose(1, 0, 2), weight.T * 2
    expected = product(mx.array(np.array(moved)), mx.array(np.array(turned)))
    np.testing.assert_allclose(product(moved, turned), expected, atol=1e-5)


def test_bits_depend_on_neither_threads_nor_batch_nor_what_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x, weight = mx.array(data(1, 3, 1100, 64)), mx.array(data(2, 1000, 64))
    whole = product(x, weight)
    assert np.array_equal(whole[:, :512], product(x[:, :512], weight))
    assert np.array_equal(whole[:, 512:], product(x[:, 512:], weight))
    assert np.array_equal(whole[1:2], product(x[1:2], weight))
    for count in (1, 3, 7):
        monkeypatch.setattr(cpu_threads, "thread_count", lambda count=count: count)
        assert np.array_equal(whole, product(x, weight))


def test_what_is_left_to_mlx() -> None:
    x, weight = mx.zeros((3, 4)), mx.zeros((5, 4))
    assert linear(x.astype(mx.float16), weight) is None
    assert linear(x, weight.astype(mx.bfloat16)) is None
    assert linear(x, weight, mx.zeros(5, mx.float16)) is None
    assert linear(x, mx.zeros((5, 3))) is None
    assert linear(x, mx.zeros((2, 5, 4))) is None
    assert linear(mx.zeros((0, 4)), weight) is None


def test_matrices_that_are_stacked_are_left_to_mlx() -> None:
    dense = nn.Sequential(nn.Embedding(8, 4), nn.Linear(4, 4), nn.Conv1d(4, 4, 3), nn.RMSNorm(4))
    assert not has_stacked_matrices(dense)
    experts = nn.Sequential(nn.Linear(4, 4), SwitchLinear(4, 4, num_experts=2))
    assert has_stacked_matrices(experts)
