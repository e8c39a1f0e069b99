"""Attention in blocks of queries equals attention in one piece, and holds less at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from kv_cases import codes_cache, kv_lane, quantizers, reference_lane
from mlx_lm.models import base as mlx_lm_base
from mlx_lm.models import cache as mlx_lm_cache
from tiny_configs import tiny_config
from tiny_models import build_module

from scorer.device.cpu_arithmetic import MLX, NUMPY
from scorer.lanes.kv import attention_over_codes
from scorer.lanes.kv.attention_over_codes import attend_codes
from scorer.lanes.kv.lane import CODES, DEQUANTIZED, MLX_LM
from scorer.lm import attention_blocks
from scorer.lm.attention_blocks import in_query_blocks
from scorer.lm.patches import pass_options
from scorer.lm.split_model import SplitModel
from scorer.quantizers import affine
from scorer.spec.settings.kv import KVSetting

HEADS, KV_HEADS, DIM = 4, 2, 32
EIGHT = KVSetting(8, 8, 32)


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def normal(seed: int, *shape: int) -> mx.array:
    return mx.array(np.random.default_rng(seed).standard_normal(shape).astype(np.float32))


def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 64 queries, the fewest there are."""
    monkeypatch.setattr(attention_blocks, "SCORES_BYTES", 1)


def masks(length: int, total: int) -> dict[str, Any]:
    seen = np.tril(np.ones((length, total), bool), total - length)
    window = seen & ~np.tril(np.ones((length, total), bool), total - length - 20)
    heads = np.random.default_rng(0).standard_normal((2, HEADS, length, total))
    return {
        "none": None,
        "causal": "causal",
        "boolean": mx.array(seen),
        "window": mx.array(window),
        "additive": mx.array(np.where(seen, heads, -np.inf).astype(np.float32)),
    }


def dense(q: mx.array, k: mx.array, v: mx.array, mask: Any) -> mx.array:
    out: mx.array = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.2, mask=mask)
    return out


def quantized(q: mx.array, k: mx.array, v: mx.array, mask: Any) -> mx.array:
    held = [mx.quantize(x, group_size=32, bits=8) for x in (k, v)]
    # A copy: mlx-lm scales the caller's queries in place.
    out: mx.array = mlx_lm_base.quantized_scaled_dot_product_attention(
        q + 0, *held, scale=0.2, mask=mask, group_size=32, bits=8
    )
    return out


def codes(q: mx.array, k: mx.array, v: mx.array, mask: Any) -> mx.array:
    cache = codes_cache(mlx_lm_cache.KVCache(), EIGHT)
    return attend_codes(q, quantizers(cache), 0.2, mask, *cache.update_and_fetch(k, v))


@pytest.mark.parametrize("kind", ["none", "causal", "boolean", "window", "additive"])
@pytest.mark.parametrize(("length", "total"), [(65, 65), (200, 200), (192, 192), (130, 300)])
@pytest.mark.parametrize("way", [dense, quantized, codes])
def test_blocks_equal_the_whole(
    monkeypatch: pytest.MonkeyPatch,
    way: Callable[..., mx.array],
    kind: str,
    length: int,
    total: int,
) -> None:
    if way is quantized and kind == "additive":
        pytest.skip("mlx-lm broadcasts a mask per query head wrongly over grouped heads")
    q, k, v = (
        normal(1, 2, HEADS, length, DIM),
        *(normal(seed, 2, KV_HEADS, total, DIM) for seed in (2, 3)),
    )
    mask = masks(length, total)[kind]
    whole = way(q, k, v, mask)
    small_blocks(monkeypatch)
    with pass_options(query_blocks=True):
        got = way(q, k, v, mask)
    if way is dense:
        # A BLAS takes another path for one row than for many.
        np.testing.assert_allclose(np.array(got), np.array(whole), rtol=0, atol=1e-6)
    else:
        np.testing.assert_array_equal(np.array(got), np.array(whole))


def test_sinks_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    q, k, v = (normal(seed, 1, HEADS, 150, DIM) for seed in (1, 2, 3))
    options = {"scale": 0.3, "mask": "causal", "sinks": normal(4, HEADS)}
    whole = mx.fast.scaled_dot_product_attention(q, k, v, **options)
    small_blocks(monkeypatch)
    with pass_options(query_blocks=True):
        got = mx.fast.scaled_dot_product_attention(q, k, v, **options)
    np.testing.assert_allclose(np.array(got), np.array(whole), rtol=0, atol=1e-6)


def test_an_odd_number_of_tokens_in_each_block(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the device wants it, also behind a block's last query."""
    q, k, v = (
        normal(1, 1, HEADS, 200, DIM),
        *(normal(seed, 1, KV_HEADS, 200, DIM) for seed in (2, 3)),
    )
    whole = codes(q, k, v, "causal")
    monkeypatch.setattr(affine, "needs_odd_length", lambda: True)
    small_blocks(monkeypatch)
    np.testing.assert_allclose(np.array(codes(q, k, v, "causal")), np.array(whole), atol=1e-6)


def test_no_piece_holds_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    limit = HEADS * 1000 * 4 * 128
    monkeypatch.setattr(attention_blocks, "SCORES_BYTES", limit)
    pieces = []

    def attend(q: mx.array, k: mx.array, v: mx.array, mask: Any) -> mx.array:
        pieces.append((q.shape[2], k.shape[2]))
        return dense(q, k, v, mask)

    q, k, v = (normal(seed, 1, HEADS, 1000, DIM) for seed in (1, 2, 3))
    in_query_blocks(attend, q, k, v, "causal")
    assert [rows for rows, _ in pieces] == [128] * 7 + [104]
    assert [seen for _, seen in pieces] == [*range(128, 1000, 128), 1000]
    assert all(HEADS * rows * seen * 4 <= limit for rows, seen in pieces)


def test_ordinary_chunks_go_in_one_piece() -> None:
    pieces = []

    def attend(q: mx.array, k: mx.array, v: mx.array, mask: Any) -> mx.array:
        pieces.append(q.shape[2])
        return dense(q, k, v, mask)

    q, k, v = (normal(seed, 1, 9, 511, 8) for seed in (1, 2, 3))
    in_query_blocks(attend, q, k, v, "causal")
    assert pieces == [511]


@pytest.mark.parametrize(
    ("cuda", "dtype", "dim", "mask", "fused"),
    [
        (True, mx.bfloat16, 64, "causal", True),
        (True, mx.bfloat16, 64, mx.zeros((1,)), False),
        (True, mx.float32, 64, "causal", False),
        (True, mx.float16, 256, None, False),
        (False, mx.float32, 64, mx.zeros((1,)), True),
        (False, mx.float16, 192, "causal", False),
    ],
)
def test_where_a_gpu_writes_no_scores_out_nothing_is_cut(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, dtype: mx.Dtype, dim: int, mask: Any, fused: bool
) -> None:
    rows = mx.zeros((1, 1, 4, dim), dtype)
    assert not attention_blocks.is_fused(rows, rows, mask)
    monkeypatch.setattr(mx, "default_device", lambda: mx.gpu)
    monkeypatch.setattr(mx.cuda, "is_available", lambda: cuda)
    assert attention_blocks.is_fused(rows, rows, mask) is fused


def test_everything_is_put_back() -> None:
    before = (
        mx.fast.scaled_dot_product_attention,
        mlx_lm_base.quantized_scaled_dot_product_attention,
    )
    with pytest.raises(KeyError), pass_options(query_blocks=True):
        assert mx.fast.scaled_dot_product_attention is not before[0]
        raise KeyError
    assert before == (
        mx.fast.scaled_dot_product_attention,
        mlx_lm_base.quantized_scaled_dot_product_attention,
    )


@pytest.mark.parametrize("arithmetic", [DEQUANTIZED, CODES, MLX_LM])
@pytest.mark.parametrize("computed", [MLX, NUMPY])
@pytest.mark.parametrize("start", [0, 70])
def test_whole_passes_are_equal(
    monkeypatch: pytest.MonkeyPatch, arithmetic: str, computed: str, start: int
) -> None:
    model = build_module(tiny_config("llama", head_dim=64))
    split = SplitModel(model, computed)
    tokens = mx.array(np.random.default_rng(0).integers(0, 64, (2, 211)).astype(np.int32))
    setting = KVSetting(4, 4, 64, start)

    def states() -> list[Any]:
        lane = kv_lane(split, setting, arithmetic)
        return [np.array(reference_lane(split).hidden(tokens)), np.array(lane.hidden(tokens))]

    whole = states()
    calls = []
    own = attention_blocks.in_query_blocks

    def counted(*arguments: Any) -> mx.array:
        calls.append(arguments[1].shape[2])
        return own(*arguments)

    for module in (attention_blocks, attention_over_codes):
        monkeypatch.setattr(module, "in_query_blocks", counted)
    small_blocks(monkeypatch)
    for got, expected in zip(states(), whole, strict=True):
        # A code at the edge between two values may fall either way.
        off = np.abs(got - expected).max(axis=-1)
        assert np.median(off) < 1e-5 and off.max() < (1e-5 if computed == NUMPY else 0.1)
    if computed == MLX or arithmetic != DEQUANTIZED:
        assert max(calls) > 64
