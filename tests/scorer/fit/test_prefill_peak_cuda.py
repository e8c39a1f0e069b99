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
CODES = 16 * 2 * 8 * (64 + 2 * 2)
"""Bytes of a token in a cache of 8 bits."""

# Tokens, step, KV cache, MB above the weights of three prompts each by MLX's counter: an H100, a
# model of random bfloat16 weights in the shape of Llama 3.2 1B, mlx_lm's own generate_step.
PLAIN = [
    (1025, 512, (285.2, 285.0, 283.1)),
    (2049, 2048, (1325.4, 1346.4, 1346.4)),
    (8193, 2048, (1577.1, 1799.4, 1820.3)),
    (8193, 512, (597.7, 618.7, 597.7)),
    (8193, 64, (444.7, 422.3, 411.3)),
]
# Our own cache of 8 bits, an H200: two prompts of each kind took the same to the byte.
QUANTIZED = [
    (1025, 512, 163.7),
    (2049, 2048, 278.8),
    (4097, 512, 309.1),
    (8193, 64, 268.9),
    (8193, 512, 390.8),
    (8193, 1024, 413.8),
    (8193, 2048, 458.6),
    (16385, 512, 553.9),
    (16385, 2048, 640.7),
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


@pytest.mark.parametrize(("tokens", "step", "measured"), QUANTIZED)
def test_totals_with_our_own_cache(tokens: int, step: int, measured: float) -> None:
    predicted, peak = above(tokens, step, EIGHT), measured * 1e6
    assert abs(predicted - peak) <= 0.01 * (WEIGHTS + peak)
    assert abs(predicted / peak - 1) <= 0.06


def test_the_last_token_holds_a_copy_of_a_layer() -> None:
    # Little else is held in a step of one token.
    stored = 65_536 * CODES
    assert stored < above(65_536, 1, EIGHT) < 1.25 * stored


def test_a_published_total_of_a_4b_model() -> None:
    # Qwen3-4B in bfloat16, 1024 tokens and the default step on an H100: pull request 3077 of MLX.
    qwen = KVGeometry((KVLayer(8, 128, 128),) * 36, 36)
    shape = PrefillShape(hidden=2560, inner=9728, heads=32, vocab=151_936)
    found = total_bytes(8_044_936_192, qwen, None, shape, 1024, device="cuda")
    assert abs(found.total / 10.007e9 - 1) <= 0.05
