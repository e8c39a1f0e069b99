"""Rotary positions of one model as several programs write them, and values that classes take."""

from __future__ import annotations

from typing import Any

import pytest

from scorer.models.same_config import config_difference

GEMMA: dict[str, Any] = {
    "hidden_size": 640,
    "num_hidden_layers": 18,
    "num_attention_heads": 4,
    "head_dim": 256,
    "max_position_embeddings": 32768,
}
OLD = GEMMA | {"rope_theta": 1e6, "rope_local_base_freq": 10000.0, "sliding_window_pattern": 6}
BY_KIND = {
    "full_attention": {"rope_type": "default", "rope_theta": 1e6},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}
NEW = GEMMA | {"rope_parameters": BY_KIND, "layer_types": ["full_attention"] * 18}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}
LLAMA: dict[str, Any] = {
    "hidden_size": 64,
    "num_attention_heads": 4,
    "max_position_embeddings": 131072,
}


@pytest.mark.parametrize(
    ("architecture", "one", "other"),
    [
        ("gemma3_text", OLD, NEW),
        ("gemma3_text", NEW, OLD | {"rope_parameters": BY_KIND}),
        (
            "llama",
            LLAMA | {"rope_theta": 5e5, "rope_scaling": LLAMA3},
            LLAMA | {"rope_parameters": LLAMA3 | {"rope_theta": 5e5}},
        ),
        ("llama", LLAMA | {"rope_scaling": {"type": "default"}}, LLAMA),
        # Defaults of the class, and what follows from other values.
        ("llama", LLAMA, LLAMA | {"rope_theta": 10000, "head_dim": 16, "num_key_value_heads": 4}),
        ("llama", LLAMA, LLAMA | {"mlp_bias": False, "sliding_window": None}),
        # What mlx-lm's class drops.
        ("llama", LLAMA, LLAMA | {"pretraining_tp": 2, "my_own_key": [1]}),
        # Transformers writes what JSON has no numbers for as objects.
        (
            "llama",
            LLAMA | {"rms_norm_eps": {"__float__": "Infinity"}},
            LLAMA | {"rms_norm_eps": float("inf")},
        ),
        ("gemma3", {"text_config": OLD | {"model_type": "gemma3_text"}}, {"text_config": NEW}),
    ],
)
def test_the_same_is_no_difference(
    architecture: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    assert config_difference(one, other, architecture) is None
    assert config_difference(other, one, architecture) is None


@pytest.mark.parametrize(
    ("architecture", "one", "other", "name"),
    [
        (
            "gemma3_text",
            OLD,
            NEW | {"rope_parameters": {"full_attention": {"rope_theta": 5.0}}},
            "rope_theta",
        ),
        ("gemma3_text", NEW, NEW | {"rope_parameters": {"full_attention": {}}}, "rope_"),
        ("gemma3_text", OLD, OLD | {"rope_local_base_freq": 1.0}, "rope_local_base_freq"),
        ("llama", LLAMA | {"rope_scaling": LLAMA3}, LLAMA, "rope_scaling"),
        (
            "llama",
            LLAMA | {"rope_scaling": LLAMA3},
            LLAMA | {"rope_scaling": LLAMA3 | {"factor": 32.0}},
            "rope_scaling",
        ),
        ("llama", LLAMA, LLAMA | {"num_key_value_heads": 2}, "num_key_value_heads"),
        ("llama", LLAMA, LLAMA | {"head_dim": 32}, "head_dim"),
        ("granite", LLAMA | {"logits_scaling": 8.0}, LLAMA | {"logits_scaling": 4.0}, "logits_s"),
        ("no_such_module", LLAMA, LLAMA | {"rms_norm_eps": 1.0}, "rms_norm_eps"),
        (
            "gemma3",
            {"text_config": OLD | {"model_type": "gemma3_text"}},
            {"text_config": OLD | {"model_type": "gemma3_text", "sliding_window": 1}},
            "sliding_window",
        ),
    ],
)
def test_what_changes_numbers_is_named(
    architecture: str, one: dict[str, Any], other: dict[str, Any], name: str
) -> None:
    for found in (
        config_difference(one, other, architecture),
        config_difference(other, one, architecture),
    ):
        assert found is not None and found.startswith(f"its `{name}")
