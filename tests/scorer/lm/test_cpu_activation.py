"""Activations in NumPy against their definitions in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray

from scorer.lm.cpu import activation as cpu_activation

Exact = NDArray[np.float64]


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def sigmoid(x: Exact) -> Exact:
    with np.errstate(over="ignore"):
        return 1 / (1 + np.exp(-x))


def gelu(x: Exact) -> Exact:
    return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))


ONE: list[tuple[Callable[[mx.array], mx.array | None], Callable[[Exact], Exact]]] = [
    (cpu_activation.silu, lambda x: x * sigmoid(x)),
    (cpu_activation.sigmoid, sigmoid),
    (cpu_activation.tanh, np.tanh),
    (cpu_activation.gelu_approx, gelu),
]
SHAPES = [(1,), (3, 5), (2, 70, 257), (1, 1), (40_000,)]


def values(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.float32]:
    x = (10 * np.random.default_rng(seed).standard_normal(shape)).astype(np.float32)
    edges = np.array([0, -0.0, 1e-30, 88, -88, 120, -120, 1e4, -1e4, 3e8, -3e8], np.float32)
    count = min(len(edges), x.size)
    x.reshape(-1)[:count] = edges[:count]
    return x


def checked(found: mx.array | None, expected: Exact) -> None:
    assert found is not None
    np.testing.assert_allclose(np.array(found), expected, rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize(("function", "exact"), ONE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_functions_of_one_array(
    function: Callable[[mx.array], mx.array | None],
    exact: Callable[[Exact], Exact],
    shape: tuple[int, ...],
) -> None:
    x = values(shape)
    checked(function(mx.array(x)), exact(x.astype(np.float64)))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_swiglu(shape: tuple[int, ...]) -> None:
    gate, x = values(shape), values(shape, 1)[..., ::-1].copy()
    exact = gate.astype(np.float64)
    found = cpu_activation.swiglu(mx.array(gate), mx.array(x))
    checked(found, exact * sigmoid(exact) * x)


@pytest.mark.parametrize("shape", [(1,), (3, 5), (2, 70, 257), (2, 40_000)], ids=str)
def test_softmax(shape: tuple[int, ...]) -> None:
    x = values(shape)
    x.reshape(-1)[-1] = -np.inf if shape[-1] > 1 else 0
    shifted = x.astype(np.float64) - x.max(axis=-1, keepdims=True)
    weights = np.exp(shifted)
    checked(cpu_activation.softmax(mx.array(x)), weights / weights.sum(axis=-1, keepdims=True))


@pytest.mark.parametrize("function", [*(pair[0] for pair in ONE), cpu_activation.softmax])
def test_lazy_and_strided_arrays(function: Callable[[mx.array], mx.array | None]) -> None:
    x = mx.array(values((5, 6, 7)))
    moved = (x + 1).transpose(2, 0, 1)[::2]
    found, expected = function(moved), function(mx.array(np.array(moved)))
    assert found is not None and expected is not None
    assert np.array_equal(np.array(found), np.array(expected))
    assert np.array_equal(np.array(x), values((5, 6, 7)))


@pytest.mark.parametrize("dtype", [mx.float16, mx.bfloat16, mx.int32])
@pytest.mark.parametrize("function", [*(pair[0] for pair in ONE), cpu_activation.softmax])
def test_other_dtypes_are_left_to_mlx(function: Any, dtype: mx.Dtype) -> None:
    assert function(mx.zeros((3, 4), dtype)) is None


def test_gates_of_another_shape_are_left_to_mlx() -> None:
    assert cpu_activation.swiglu(mx.zeros((3, 1)), mx.zeros((3, 4))) is None
    assert cpu_activation.swiglu(mx.zeros((3, 4)), mx.zeros((3, 4), mx.float16)) is None


def test_bits_do_not_depend_on_where_an_element_stands() -> None:
    x = values((50_000,))
    for function, _ in ONE:
        whole, part = function(mx.array(x)), function(mx.array(x[1234:30_000]))
        assert whole is not None and part is not None
        assert np.array_equal(np.array(whole)[1234:30_000], np.array(part))
