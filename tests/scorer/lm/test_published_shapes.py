"""Bytes of cache per token of published models, against a count by hand.

The sizes are those of the models' config.json on the Hub. :data:`OTHERS` are values that mlx-lm's
classes require and that no cache depends on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from scorer.lm.measured_geometry import measure_folder
from scorer.models.kept_geometry import (
    Measured,
    NotBuilt,
    outcome_from_json,
    outcome_to_json,
)

SLIDING, FULL = "sliding_attention", "full_attention"
OTHERS: dict[str, Any] = {
    "intermediate_size": 1024,
    "rms_norm_eps": 1e-5,
    "rope_theta": 1e6,
    "max_position_embeddings": 8192,
    "tie_word_embeddings": False,
}
MAMBA: dict[str, Any] = {
    "attention_bias": False,
    "mlp_bias": False,
    "use_bias": False,
    "use_conv_bias": True,
    "mamba_proj_bias": False,
    "mamba_num_heads": 64,
    "mamba_head_dim": 64,
    "ssm_state_size": 128,
    "conv_kernel": 4,
    "n_groups": 8,
    "layer_norm_epsilon": 1e-5,
}


def kv(layers: int, heads: int, dim: int) -> int:
    """Keys and values of so many layers, 2 bytes an element."""
    return 2 * 2 * layers * heads * dim


MODELS: dict[str, tuple[dict[str, Any], int]] = {
    "Llama-3.1-8B": (
        {
            "model_type": "llama",
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 128256,
        },
        kv(32, 8, 128),
    ),
    "Qwen3-30B-A3B": (
        {
            "model_type": "qwen3_moe",
            "hidden_size": 2048,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 4,
            "head_dim": 128,
            "vocab_size": 151936,
            "num_experts": 8,
            "num_experts_per_tok": 2,
            "decoder_sparse_step": 1,
            "mlp_only_layers": [],
            "moe_intermediate_size": 64,
            "norm_topk_prob": True,
        },
        kv(48, 4, 128),
    ),
    "DeepSeek-V3": (
        {
            "model_type": "deepseek_v3",
            "hidden_size": 7168,
            "num_hidden_layers": 61,
            "num_attention_heads": 128,
            "kv_lora_rank": 512,
            "qk_rope_head_dim": 64,
            "vocab_size": 129280,
        },
        # The compressed row and the rotary key of a layer, not heads times widths.
        2 * 61 * (512 + 64),
    ),
    "Nemotron-H-8B": (
        {
            "model_type": "nemotron_h",
            "hidden_size": 4096,
            "num_hidden_layers": 52,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "vocab_size": 131072,
            "hybrid_override_pattern": "M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M*-M-M-M-M-M-",
            **MAMBA,
        },
        kv(4, 8, 128),
    ),
    "Granite-4.0-H-Small": (
        {
            "model_type": "granitemoehybrid",
            "hidden_size": 4096,
            "num_hidden_layers": 40,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "vocab_size": 100352,
            "layer_types": (["mamba"] * 5 + ["attention"] + ["mamba"] * 4) * 4,
            "attention_bias": False,
            "embedding_multiplier": 12.0,
            "attention_multiplier": 0.0078125,
            "logits_scaling": 16.0,
            "residual_multiplier": 0.22,
            "num_local_experts": 8,
            "num_experts_per_tok": 2,
            "shared_intermediate_size": 64,
            "mamba_n_heads": 128,
            "mamba_d_head": 64,
            "mamba_d_state": 128,
            "mamba_d_conv": 4,
            "mamba_n_groups": 1,
            "mamba_proj_bias": False,
            "mamba_conv_bias": True,
        },
        kv(4, 8, 128),
    ),
    "gemma-4-31B": (
        {
            "model_type": "gemma4",
            "text_config": {
                "model_type": "gemma4_text",
                "hidden_size": 5376,
                "num_hidden_layers": 60,
                "num_attention_heads": 32,
                "num_key_value_heads": 16,
                "head_dim": 256,
                "global_head_dim": 512,
                "num_global_key_value_heads": 4,
                "attention_k_eq_v": True,
                "num_kv_shared_layers": 0,
                "layer_types": ([SLIDING] * 5 + [FULL]) * 10,
                "sliding_window": 1024,
                "vocab_size": 262144,
            },
        },
        kv(50, 16, 256) + kv(10, 4, 512),
    ),
    "gpt-oss-20b": (
        {
            "model_type": "gpt_oss",
            "hidden_size": 2880,
            "num_hidden_layers": 24,
            "num_attention_heads": 64,
            "num_key_value_heads": 8,
            "head_dim": 64,
            "sliding_window": 128,
            "layer_types": [SLIDING, FULL] * 12,
            "vocab_size": 201088,
        },
        kv(24, 8, 64),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_the_cache_of_a_published_model_is_the_one_counted_by_hand(
    tmp_path: Path, name: str
) -> None:
    config, expected = MODELS[name]
    (tmp_path / "config.json").write_text(json.dumps(OTHERS | config))
    _, outcome = measure_folder(tmp_path)
    assert isinstance(outcome, Measured), outcome
    # A context shorter than every window: windows count in full.
    assert outcome.geometry.bytes_per_token_16bit(64) == expected


@pytest.mark.parametrize("name", MODELS)
def test_it_is_known_too_where_a_config_lacks_what_no_cache_depends_on(
    tmp_path: Path, name: str
) -> None:
    config, expected = MODELS[name]
    kept = {key: value for key, value in config.items() if key not in MAMBA}
    (tmp_path / "config.json").write_text(json.dumps(kept))
    _, outcome = measure_folder(tmp_path)
    assert outcome.geometry is not None
    assert outcome.geometry.bytes_per_token_16bit(64) == expected
    assert outcome_from_json(json.loads(json.dumps(outcome_to_json(outcome)))) == outcome


def test_what_a_cache_depends_on_is_never_made_up(tmp_path: Path) -> None:
    config = OTHERS | MODELS["Llama-3.1-8B"][0]
    del config["num_attention_heads"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    _, outcome = measure_folder(tmp_path)
    assert isinstance(outcome, NotBuilt) and outcome.geometry is None
