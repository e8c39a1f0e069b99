"""The predicted peak of a prompt on CUDA against peaks that were measured there."""

from __future__ import annotations

import pytest

from scorer.fit.prefill_peak import PrefillShape
from scorer.fit.total_bytes import total_bytes
from scorer.spec.geometry import KVGeometry, KVLayer
from scorer.spec.settings.kv import KVSetting

LLAMA = KVGeometry((KVLayer(8, 64, 64),) * 16, 16)
SHAPE = PrefillShape(hidden=2048, inner=8192, heads=32, vocab=128_256)
WEIGHTS = 2472e6
EIGHT = KVSetting.parse("8")
# What the checks of a quantized cache kept of each token when this was measured, and keep no
# longer: its keys and values in 16 layers, in bfloat16 and, unless the cache is still the one block
# of the prompt, as codes.
KEPT_VECTORS = 16 * 2 * 8 * 64 * 2
KEPT_CODES = 16 * 2 * 8 * (64 + 2 * 2)

# Tokens, step, KV cache, MB above the weights of three prompts each by MLX's counter: an H100, a
# model of random bfloat16 weights in the shape of Llama 3.2 1B, mlx_lm's own generate_step.
PLAIN = [
    (1025, 512, (285.2, 285.0, 283.1)),
    (2049, 2048, (1325.4, 1346.4, 1346.4)),
    (8193, 2048, (1577.1, 1799.4, 1820.3)),
    (8193, 512, (597.7, 618.7, 597.7)),
    (8193, 64, (444.7, 422.3, 411.3)),
]
QUANTIZED = [
    (1025, 512, (482.4, 477.6, 479.7), KEPT_VECTORS + KEPT_CODES),
    (2049, 2048, (345.9, 345.9, 345.9), KEPT_VECTORS),
    (8193, 2048, (873.2, 1156.7, 873.1), KEPT_VECTORS + KEPT_CODES),
    (8193, 512, (863.5, 863.6, 865.7), KEPT_VECTORS + KEPT_CODES),
    (8193, 64, (1089.9, 1106.4, 1102.5), KEPT_VECTORS + KEPT_CODES),
]


def above(tokens: int, step: int, kv: KVSetting | None) -> int:
    """The predicted bytes above the weights."""
    return total_bytes(0, LLAMA, kv, SHAPE, tokens, 1, step, "cuda").total


@pytest.mark.parametrize(("tokens", "step", "measured"), PLAIN)
def test_totals_with_a_16_bit_cache(
    tokens: int, step: int, measured: tuple[float, float, float]
) -> None:
    predicted = above(tokens, step, None)
    for peak in measured:
        assert abs(predicted - peak * 1e6) <= 0.05 * (WEIGHTS + peak * 1e6)
    assert abs(predicted / (sorted(measured)[1] * 1e6) - 1) <= 0.15


@pytest.mark.parametrize(("tokens", "step", "measured", "kept"), QUANTIZED)
def test_totals_with_our_own_cache(
    tokens: int, step: int, measured: tuple[float, float, float], kept: int
) -> None:
    # The middle one of three: in one of the prompts memory was freed later than in all others.
    peak = sorted(measured)[1] * 1e6 - (tokens - 1) * kept
    predicted = above(tokens, step, EIGHT)
    assert abs(predicted - peak) <= 0.05 * (WEIGHTS + peak)
    assert abs(predicted / peak - 1) <= 0.15


def test_the_last_token_holds_a_copy_for_each_queued_token() -> None:
    # Both tokens that are queued behind the prompt copy the cache.
    stored = 4096 * KEPT_CODES
    assert above(4096, 64, EIGHT) >= 3 * stored


def test_a_published_total_of_a_4b_model() -> None:
    # Qwen3-4B in bfloat16, 1024 tokens and the default step on an H100: pull request 3077 of MLX.
    qwen = KVGeometry((KVLayer(8, 128, 128),) * 36, 36)
    shape = PrefillShape(hidden=2560, inner=9728, heads=32, vocab=151_936)
    found = total_bytes(8_044_936_192, qwen, None, shape, 1024, device="cuda")
    assert abs(found.total / 10.007e9 - 1) <= 0.05
