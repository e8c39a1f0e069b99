"""Attention in NumPy against a float64 oracle and against MLX's own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from numpy.typing import NDArray
from oracle_attention import attend as oracle

from scorer.device import threads as cpu_threads
from scorer.lm.cpu.attention import attend

Array = NDArray[np.float32]


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def data(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def attended(q: Array, k: Array, v: Array, scale: float, mask: Any, sinks: Any = None) -> Array:
    found = attend(mx.array(q), mx.array(k), mx.array(v), scale, mask, sinks)
    assert found is not None
    return np.array(found)


def window(length: int, total: int, size: int) -> NDArray[np.bool_]:
    row, column = np.arange(total - length, total)[:, None], np.arange(total)[None]
    return (column <= row) & (row < column + size)


# batch, query heads, KV heads, queries, keys, K and V dimension
SHAPES = [
    (1, 1, 1, 1, 1, 8, 8),
    (1, 9, 3, 63, 63, 64, 64),
    (2, 4, 4, 64, 64, 32, 32),
    (1, 6, 2, 65, 65, 16, 24),
    (3, 4, 1, 130, 131, 8, 4),
    (1, 2, 2, 5, 200, 16, 16),
    (1, 3, 1, 1, 100, 16, 16),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_causal_attention_of_every_grouping_is_the_oracles(shape: tuple[int, ...]) -> None:
    b, hq, hkv, length, total, dk, dv = shape
    q, k, v = data(1, b, hq, length, dk), data(2, b, hkv, total, dk), data(3, b, hkv, total, dv)
    expected = oracle(q, k, v, dk**-0.5)
    np.testing.assert_allclose(attended(q, k, v, dk**-0.5, "causal"), expected, atol=1e-5)


def test_without_a_mask_all_keys_are_read() -> None:
    q, k, v = data(1, 2, 4, 70, 16), data(2, 2, 2, 33, 16), data(3, 2, 2, 33, 16)
    expected = oracle(q, k, v, 0.25, np.ones((70, 33), bool))
    np.testing.assert_allclose(attended(q, k, v, 0.25, None), expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 7, 64, 100, 500])
@pytest.mark.parametrize("shape", [(150, 150), (70, 150), (1, 90)], ids=str)
@pytest.mark.parametrize("additive", [False, True])
def test_sliding_windows(size: int, shape: tuple[int, int], additive: bool) -> None:
    length, total = shape
    q, k, v = data(1, 1, 4, length, 16), data(2, 1, 2, total, 16), data(3, 1, 2, total, 16)
    visible = window(length, total, size)
    mask = mx.array(visible)
    if additive:
        mask = mx.where(mask, mx.array(0.0), mx.array(-mx.inf))
    expected = oracle(q, k, v, 0.25, visible)
    np.testing.assert_allclose(attended(q, k, v, 0.25, mask), expected, atol=1e-5)


@pytest.mark.parametrize("dims", [(1, 1), (2, 1), (1, 4), (2, 4)], ids=str)
def test_masks_of_each_sequence_and_head(dims: tuple[int, int]) -> None:
    visible = np.random.default_rng(0).random((*dims, 80, 90)) < 0.3
    visible[..., 0] = True
    q, k, v = data(1, 2, 4, 80, 16), data(2, 2, 2, 90, 16), data(3, 2, 2, 90, 16)
    expected = oracle(q, k, v, 0.25, visible)
    np.testing.assert_allclose(attended(q, k, v, 0.25, mx.array(visible)), expected, atol=1e-5)


@pytest.mark.parametrize("heads", [(3, 3), (6, 2), (7, 1), (14, 2), (12, 1)], ids=str)
def test_heads_that_share_keys(heads: tuple[int, int]) -> None:
    many, few = heads
    q, k, v = data(1, 2, many, 80, 16), data(2, 2, few, 90, 16), data(3, 2, few, 90, 24)
    visible = np.random.default_rng(0).random((2, many, 80, 90)) < 0.3
    visible[..., 0] = True
    expected = oracle(q, k, v, 0.25, visible)
    np.testing.assert_allclose(attended(q, k, v, 0.25, mx.array(visible)), expected, atol=1e-5)
    causal = oracle(q, k, v, 0.25, window(80, 90, 1000))
    np.testing.assert_allclose(attended(q, k, v, 0.25, "causal"), causal, atol=1e-5)


def test_an_additive_mask_biases_scores() -> None:
    bias = data(5, 4, 70, 70)
    q, k, v = data(1, 1, 4, 70, 16), data(2, 1, 4, 70, 16), data(3, 1, 4, 70, 16)
    scores = 0.25 * np.einsum("bhld,bhtd->bhlt", q, k, dtype=np.float64) + bias
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    expected = np.einsum("bhlt,bhtd->bhld", weights / weights.sum(-1, keepdims=True), v)
    np.testing.assert_allclose(attended(q, k, v, 0.25, mx.array(bias)), expected, atol=1e-5)


@pytest.mark.parametrize("sink", [-50.0, 0.5, 50.0])
def test_sinks_take_their_share(sink: float) -> None:
    sinks = mx.array(sink + data(4, 4))
    q, k, v = (mx.array(data(seed, 1, 4, 70, 16)) for seed in (1, 2, 3))
    expected = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.25, mask="causal", sinks=sinks)
    found = attend(q, k, v, 0.25, "causal", sinks)
    assert found is not None
    np.testing.assert_allclose(np.array(found), np.array(expected), atol=1e-5)


@pytest.mark.parametrize("size", [1e-4, 1e4])
def test_scores_of_any_size(size: float) -> None:
    q, k, v = size * data(1, 1, 2, 70, 16), data(2, 1, 2, 70, 16), data(3, 1, 2, 70, 16)
    np.testing.assert_allclose(
        attended(q, k, v, 1.0, "causal"),
        oracle(q, k, v, 1.0),
        atol=1e-5 if size < 1 else 2e-2,  # scores of 1e5 are themselves rounded by 4e-3
    )


def test_what_is_not_finite_stays_so_without_a_warning() -> None:
    q, k, v = (data(seed, 1, 2, 70, 16) for seed in (1, 2, 3))
    k[0, 1, 20] = np.inf
    found = attended(q, k, v, 0.25, "causal")
    assert np.isfinite(found[0, 0]).all()
    assert np.isfinite(found[0, 1, :20]).all()
    assert not np.isfinite(found[0, 1, 20:]).all()


def test_strided_inputs_are_read_in_place() -> None:
    tokens_first = mx.array(data(1, 2, 70, 4, 16))
    buffer = mx.array(data(2, 2, 2, 256, 16))
    q, k = tokens_first.transpose(0, 2, 1, 3), buffer[:, :, :70]
    found = attend(q, k, k, 0.25, "causal", None)
    expected = attend(mx.contiguous(q), mx.contiguous(k), mx.contiguous(k), 0.25, "causal", None)
    assert found is not None and expected is not None
    assert np.array_equal(np.array(found), np.array(expected))


def test_bits_depend_neither_on_threads_nor_batch_nor_what_follows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    q, k, v = data(1, 3, 4, 200, 16), data(2, 3, 2, 200, 16), data(3, 3, 2, 200, 16)
    whole = attended(q, k, v, 0.25, "causal")
    alone = attended(q[1:2], k[1:2], v[1:2], 0.25, "causal")
    assert np.array_equal(whole[1:2], alone)
    prefix = attended(q[:, :, :128], k[:, :, :128], v[:, :, :128], 0.25, "causal")
    assert np.array_equal(whole[:, :, :128], prefix)
    monkeypatch.setattr(cpu_threads, "thread_count", lambda: 1)
    assert np.array_equal(whole, attended(q, k, v, 0.25, "causal"))


@pytest.mark.parametrize(
    "case", ["half", "nothing to read", "more queries than keys", "integer mask", "unknown mask"]
)
def test_what_is_left_to_mlx(case: str) -> None:
    q, k, v = (mx.array(data(seed, 1, 2, 8, 16)) for seed in (1, 2, 3))
    mask: Any = "causal"
    if case == "half":
        v = v.astype(mx.float16)
    elif case == "nothing to read":
        mask = mx.array(window(8, 8, 0))
    elif case == "more queries than keys":
        k, v = k[:, :, :4], v[:, :, :4]
    elif case == "integer mask":
        mask = mx.ones((8, 8), mx.int32)
    else:
        mask = "alibi"
    assert attend(q, k, v, 0.25, mask, None) is None
