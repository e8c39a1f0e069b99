"""Weights, cache and prefill peak: against peaks that were measured, and in how they change."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scorer.common.device_kind import DeviceKind
from scorer.fit.cache_bytes import cache_bytes, cache_kinds
from scorer.fit.prefill_peak import PrefillShape, is_fused
from scorer.fit.total_bytes import total_bytes
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting

SMOLLM2 = KVGeometry((KVLayer(3, 64, 64),) * 30, 30)
SMOLLM2_SHAPE = PrefillShape(hidden=576, inner=1536, heads=9, vocab=49_152, element_bytes=4)
QWEN = KVGeometry((KVLayer(2, 64, 64),) * 24, 24)
QWEN_SHAPE = PrefillShape(hidden=896, inner=4864, heads=14, vocab=151_936)
# Of the 494 032 768 parameters all but norms and biases are quantized, a scale and a bias of 16
# bit for each group of 64.
QWEN_WEIGHTS = {bits: round(494_032_768 * (bits + 0.5) / 8) for bits in (8, 6, 5, 4)}
GEMMA = KVGeometry(((*(KVLayer(1, 256, 256, 512, "sliding"),) * 5, KVLayer(1, 256, 256)) * 3), 18)
GEMMA_SHAPE = PrefillShape(hidden=640, inner=2048, heads=4, vocab=262_144, element_bytes=4)
EIGHT = KVSetting.parse("8")


def held(geometry: KVGeometry, kv: KVSetting | None, context: int, element_bytes: int) -> int:
    """Bytes of the cache alone."""
    return cache_bytes(cache_kinds(geometry, kv, element_bytes), context)


DEVICES: tuple[DeviceKind, ...] = ("metal", "cuda", "cpu")


@pytest.mark.parametrize(
    ("caches", "shape", "tokens", "step", "kv", "measured"),
    [
        (SMOLLM2, SMOLLM2_SHAPE, 1025, 512, None, 88.0e6),
        (SMOLLM2, SMOLLM2_SHAPE, 1025, 512, EIGHT, 55.8e6),
        (SMOLLM2, SMOLLM2_SHAPE, 2049, 2048, None, 339.8e6),
        (SMOLLM2, SMOLLM2_SHAPE, 2049, 2048, EIGHT, 339.5e6),
        (QWEN, dataclasses.replace(QWEN_SHAPE, element_bytes=4), 513, 512, None, 72.8e6),
        (GEMMA, GEMMA_SHAPE, 513, 512, None, 55.8e6),
        (GEMMA, GEMMA_SHAPE, 1025, 512, None, 79.1e6),
    ],
)
def test_peaks_of_real_models_in_float32_on_the_cpu(
    caches: KVGeometry,
    shape: PrefillShape,
    tokens: int,
    step: int,
    kv: KVSetting | None,
    measured: float,
) -> None:
    # Peaks above the weights of mlx_lm.generate's own prefill, by MLX's counter.
    found = total_bytes(0, caches, kv, shape, tokens, 1, step, "cpu")
    assert abs(found.total - measured) <= 0.1 * measured


@pytest.mark.parametrize(("bits", "megabytes"), [(8, 701), (6, 577), (5, 515), (4, 454)])
def test_qwen_at_8k_by_hand(bits: int, megabytes: int) -> None:
    found = total_bytes(QWEN_WEIGHTS[bits], QWEN, None, QWEN_SHAPE, 8192)
    assert abs(found.total / 1e6 - megabytes) <= 0.01 * megabytes
    assert found.cache == 8192 * 24 * 2 * 2 * 64 * 2
    assert found.total == found.weights + found.cache + found.peak


def test_a_quantized_cache_peaks_higher_at_the_default_step_and_not_at_step_64() -> None:
    def above(kv: KVSetting | None, step: int) -> int:
        return total_bytes(0, QWEN, kv, QWEN_SHAPE, 8192, 1, step, "metal").total

    scores = 14 * 2048 * 8192 * 2
    assert above(EIGHT, 2048) > above(None, 2048) + scores - 100e6
    assert above(EIGHT, 64) < above(None, 64)
    assert above(EIGHT, 64) < above(None, 2048)


def test_only_attention_that_is_not_fused_writes_scores() -> None:
    layer, wide = KVLayer(1, 128, 128), KVLayer(1, 256, 256)
    assert [is_fused(layer, 2, device) for device in DEVICES] == [True, True, False]
    assert [is_fused(wide, 2, device) for device in DEVICES] == [False, False, False]
    assert not is_fused(layer, 4, "cuda")
    assert not is_fused(KVLayer(1, 512, 64, None, "latent"), 2, "metal")
    peaks = [
        total_bytes(0, KVGeometry((one,), 1), None, PrefillShape(64, 64, 8, 100), 8192).peak
        for one in (layer, wide)
    ]
    assert peaks[1] - peaks[0] > 8 * 2048 * 8192 * 2


def test_a_window_bounds_cache_and_scores() -> None:
    sliding = KVGeometry((KVLayer(1, 256, 256, 512, "sliding"),) * 4, 4)
    shape = PrefillShape(640, 2048, 4, 1000)
    short, long = (
        total_bytes(0, sliding, None, shape, context, 1, 512, "cpu") for context in (4096, 65_536)
    )
    assert short.cache == long.cache == 4 * 512 * 2 * 256 * 2
    assert short.peak == long.peak


def test_elements_of_four_bytes_double_a_cache_and_the_scales_of_a_quantized_one() -> None:
    assert held(SMOLLM2, None, 1000, 4) == 2 * held(SMOLLM2, None, 1000, 2)
    one = KVGeometry((KVLayer(1, 64, 64),), 1)
    assert held(one, EIGHT, 1, 2) == 2 * (64 + 2 * 2)
    assert held(one, EIGHT, 1, 4) == 2 * (64 + 2 * 4)
    assert held(one, KVSetting(16, 4, 64), 1, 4) == 64 * 4 + 32 + 2 * 4


def test_parallel_sequences_multiply_the_cache_alone() -> None:
    one, three = (total_bytes(5, QWEN, None, QWEN_SHAPE, 4096, n) for n in (1, 3))
    assert three.cache == 3 * one.cache
    assert (three.weights, three.peak) == (one.weights, one.peak)


def test_a_cache_that_quantizes_later_holds_its_first_tokens_at_full_precision() -> None:
    late = KVSetting.parse("8@4096")
    at_once, later = (
        total_bytes(0, QWEN, kv, QWEN_SHAPE, 8192, 1, 64, "metal").total for kv in (EIGHT, late)
    )
    both = 4096 * 24 * 2 * 2 * 64 * (2 + 1.0625)
    assert at_once < later
    assert later >= both


def test_a_cache_that_would_quantize_behind_the_context_stays_at_full_precision() -> None:
    plain, later = (
        total_bytes(0, QWEN, kv, QWEN_SHAPE, 4096) for kv in (None, KVSetting.parse("8@5000"))
    )
    assert later == plain


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("kv", [None, EIGHT, KVSetting.parse("k8v4")])
def test_one_token_and_one_step_are_counted(kv: KVSetting | None, device: DeviceKind) -> None:
    for context in (1, 2, 256, 257):
        found = total_bytes(0, QWEN, kv, QWEN_SHAPE, context, 1, 2048, device)
        assert found.cache > 0
        # The buffers of the cache have room for 256 tokens at least.
        assert found.total >= held(QWEN, kv, 256 if device != "cuda" else context, 2)


@given(
    context=st.integers(1, 200_000),
    more=st.integers(1, 50_000),
    step=st.sampled_from([64, 512, 2048]),
    kv=st.sampled_from([None, EIGHT, KVSetting.parse("4:32")]),
    device=st.sampled_from(["metal", "cpu"]),
)
def test_more_context_never_takes_less(
    context: int, more: int, step: int, kv: KVSetting | None, device: DeviceKind
) -> None:
    less, greater = (
        total_bytes(0, QWEN, kv, QWEN_SHAPE, tokens, 1, step, device)
        for tokens in (context, context + more)
    )
    assert less.total <= greater.total
    assert min(less.peak, greater.peak) >= 0
