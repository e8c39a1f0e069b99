"""Where mlx_lm.generate runs a setting is told without computing, as a trial would tell."""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from evaluated_trial import trial
from mlx_lm.models import base as mlx_lm_base
from mlx_lm.models.cache import KVCache, QuantizedKVCache
from tiny_configs import architectures, tiny_config
from tiny_models import build_module

from scorer.lanes.kv.generate_rule import caches_of_two_tokens, where_generate_runs
from scorer.models.architectures import refusal
from scorer.spec.settings.kv import BITS, FULL_PRECISION, KVSetting

WIDTHS = [bits for bits in BITS if bits != FULL_PRECISION]
GROUPS = (32, 64)

# Kinds of caches and of attention: dense, shared keys and values, sinks, windows, latent, chunked,
# composite, state space beside attention, keys wider than values, its own arithmetic.
SAMPLE = (
    "llama",
    "gpt2",
    "phi",
    "gemma2",
    "gemma3_text",
    "gemma4_text",
    "gpt_oss",
    "deepseek_v2",
    "deepseek_v3",
    "deepseek_v32",
    "dbrx",
    "falcon_h1",
    "jamba",
    "llama4",
    "mamba",
    "mimo_v2_flash",
    "minicpm3",
    "qwen3_next",
)


def built(architecture: str, **changes: Any) -> nn.Module:
    model = build_module(tiny_config(architecture, **changes))
    model.eval()
    return model


def assert_equals_the_trial(architecture: str) -> None:
    model = built(architecture)
    filled = caches_of_two_tokens(model)
    for bits in WIDTHS:
        for group in GROUPS:
            setting = KVSetting(bits, bits, group)
            assert where_generate_runs(model, setting, filled, "cpu") == trial(model, setting), (
                setting
            )


@pytest.mark.parametrize("architecture", SAMPLE)
def test_it_equals_the_trial(architecture: str) -> None:
    assert_equals_the_trial(architecture)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", [a for a in architectures() if a not in SAMPLE])
def test_it_equals_the_trial_on_every_architecture(architecture: str) -> None:
    if reason := refusal(architecture):
        pytest.skip(reason)
    assert_equals_the_trial(architecture)


def test_the_sample_holds_both_answers() -> None:
    setting = KVSetting(8, 8, 32)
    answers = set()
    for architecture in ("llama", "gpt_oss"):
        model = built(architecture)
        answers.add(where_generate_runs(model, setting, caches_of_two_tokens(model), "cpu"))
    assert answers == {"here", "nowhere"}


@pytest.mark.parametrize(
    ("architecture", "heads", "expected"),
    [
        ("llama", {}, "elsewhere"),
        ("gpt2", {}, "elsewhere"),
        ("gpt2", {"n_head": 1}, "here"),
        ("gpt_oss", {}, "nowhere"),
    ],
)
def test_on_cuda_there_is_a_kernel_for_one_head_alone(
    architecture: str, heads: dict[str, int], expected: str
) -> None:
    model = built(architecture, **heads)
    filled = caches_of_two_tokens(model)
    assert where_generate_runs(model, KVSetting(4, 4, 32), filled, "cuda") == expected


@pytest.mark.parametrize("setting", ["k8v4:32", "k16v4:32", "8:64", "4:128"])
def test_two_widths_and_groups_that_do_not_divide_run_nowhere(setting: str) -> None:
    model = built("llama")
    filled = caches_of_two_tokens(model)
    assert where_generate_runs(model, KVSetting.parse(setting), filled, "cpu") == "nowhere"


def test_nothing_is_computed_and_nothing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    model = built("llama")
    mx.eval(model.parameters())
    evaluated: list[object] = []
    for name in ("eval", "async_eval"):
        monkeypatch.setattr(mx, name, lambda *arrays: evaluated.append(arrays))
    mx.reset_peak_memory()
    before, attention = mx.get_active_memory(), mlx_lm_base.quantized_scaled_dot_product_attention
    filled = caches_of_two_tokens(model)
    assert where_generate_runs(model, KVSetting(8, 8, 32), filled, "cpu") == "here"
    assert mx.get_peak_memory() - before < 64 << 10 and not evaluated
    assert mlx_lm_base.quantized_scaled_dot_product_attention is attention
    assert all(type(cache) is KVCache and cache.offset == 2 for cache in filled)
    assert not any(isinstance(cache, QuantizedKVCache) for cache in filled)
