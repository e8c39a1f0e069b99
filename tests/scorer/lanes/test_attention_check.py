"""The check of quantized attention passes what is right and refuses what mixes things up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import mlx.core as mx
import pytest
from mlx_lm.models import base as mlx_lm_base

from scorer.common.errors import QfidError
from scorer.lanes.kv import attention_check as selftest
from scorer.lanes.kv.attention_check import attention_error, check_attention
from scorer.lanes.kv.lane import CODES, DEQUANTIZED, MLX_LM
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting

GEOMETRY = KVGeometry(layers=(KVLayer(2, 64, 64), KVLayer(2, 64, 64)), total_layers=2)
EIGHT = KVSetting(8, 8, 32)
Attention = Callable[..., mx.array]


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


@pytest.mark.parametrize("shape", [(4, 4, 64, 64), (6, 2, 32, 32), (8, 1, 128, 128)])
@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("arithmetic", [CODES, MLX_LM])
def test_right_attention_is_off_by_rounding_only(
    arithmetic: str, bits: int, shape: tuple[int, int, int, int]
) -> None:
    assert attention_error(KVSetting(bits, bits, 32), arithmetic, shape, 40, mx.float32) < 1e-5


@pytest.mark.parametrize("notation", ["k8v4", "k16v3", "k2v16", "5:32"])
def test_right_attention_over_sides_that_differ(notation: str) -> None:
    setting = KVSetting.parse(notation)
    assert attention_error(setting, CODES, (4, 2, 192, 128), 33, mx.float32) < 1e-5


@pytest.mark.parametrize(("dtype", "bound"), [(mx.float16, 1e-2), (mx.bfloat16, 5e-2)])
def test_sixteen_bit_arithmetic_rounds_more(dtype: mx.Dtype, bound: float) -> None:
    assert 1e-5 < attention_error(EIGHT, CODES, (4, 2, 64, 64), 64, dtype) < bound


def _wrong_values(own: Attention) -> Attention:
    def attend(queries: Any, cache: Any, scale: Any, mask: Any, keys: Any, values: Any) -> mx.array:
        moved = tuple(mx.roll(part, 1, axis=2) for part in values)
        return own(queries, cache, scale, mask, keys, moved)

    return attend


def _wrong_groups(own: Attention) -> Attention:
    def attend(queries: Any, cache: Any, scale: Any, mask: Any, keys: Any, values: Any) -> mx.array:
        codes, scales, biases = values
        return own(queries, cache, scale, mask, keys, (codes, scales[..., ::-1], biases[..., ::-1]))

    return attend


def _wrong_heads(own: Attention) -> Attention:
    def attend(queries: Any, cache: Any, scale: Any, mask: Any, keys: Any, values: Any) -> mx.array:
        swapped = [tuple(part[:, ::-1] for part in side) for side in (keys, values)]
        return own(queries, cache, scale, mask, *swapped)

    return attend


def _no_mask(own: Attention) -> Attention:
    def attend(queries: Any, cache: Any, scale: Any, mask: Any, keys: Any, values: Any) -> mx.array:
        return own(queries, cache, scale, None, keys, values)

    return attend


@pytest.mark.parametrize("wrong", [_wrong_values, _wrong_groups, _wrong_heads, _no_mask])
def test_a_kernel_that_mixes_things_up_is_far_off_and_refused(
    wrong: Callable[[Attention], Attention], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selftest, "attend_codes", wrong(selftest.attend_codes))
    assert attention_error(EIGHT, CODES, (4, 2, 64, 64), 48, mx.float32) > 0.3
    for dtype in (mx.float32, mx.float16, mx.bfloat16):
        with pytest.raises(QfidError, match=r"`8:32`.*head dimension 64, length 48") as caught:
            check_attention(EIGHT, CODES, GEOMETRY, 4, 48, dtype)
        assert "--path dequantized" in caught.value.hint


def test_mlx_lms_function_is_looked_at_too(monkeypatch: pytest.MonkeyPatch) -> None:
    check_attention(EIGHT, MLX_LM, GEOMETRY, 4, 32, mx.float32)
    own = mlx_lm_base.quantized_scaled_dot_product_attention

    def wrong(queries: mx.array, keys: Any, values: Any, **options: Any) -> Any:
        return own(queries, tuple(part[:, ::-1] for part in keys), values, **options)

    monkeypatch.setattr(mlx_lm_base, "quantized_scaled_dot_product_attention", wrong)
    with pytest.raises(QfidError, match="quantized attention on this device is off by"):
        check_attention(EIGHT, MLX_LM, GEOMETRY, 4, 32, mx.float32)


def test_nan_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(queries: mx.array, *rest: Any) -> mx.array:
        return mx.full(queries.shape, mx.nan)

    monkeypatch.setattr(selftest, "attend_codes", nothing)
    with pytest.raises(QfidError, match="off by nan"):
        check_attention(EIGHT, CODES, GEOMETRY, 4, 16, mx.float32)


def test_every_distinct_shape_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int, int, int]] = []

    def record(setting: Any, arithmetic: Any, shape: Any, length: int, dtype: Any) -> float:
        seen.append(shape)
        return 0.0

    monkeypatch.setattr(selftest, "attention_error", record)
    layers = (
        KVLayer(2, 64, 64),
        KVLayer(1, 128, 64),
        KVLayer(2, 64, 64),
        KVLayer(1, 64, 0),
        KVLayer(3, 64, 64),
    )
    geometry = KVGeometry(layers=layers, total_layers=5)
    check_attention(EIGHT, CODES, geometry, 4, 16, mx.float32)
    # Four query heads cannot share three KV heads: those are checked one to one.
    assert seen == [(4, 2, 64, 64), (4, 1, 128, 64), (3, 3, 64, 64)]
    seen.clear()
    check_attention(EIGHT, DEQUANTIZED, geometry, 4, 16, mx.float32)
    assert not seen
