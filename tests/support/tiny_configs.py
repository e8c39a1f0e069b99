"""Tiny configs of mlx-lm's architectures: usual values for usual names, and what each one adds."""

from __future__ import annotations

import dataclasses
import importlib
from typing import Any

from tiny_values import (
    CONV_TYPES,
    FULL,
    HYBRID_TYPES,
    KDA,
    NOAUX,
    ROPE_BY_TYPE,
    SLIDING,
    USUAL,
    VOCAB,
    YARN,
)

from scorer.models.architectures import has_architecture, mlx_lm_folder

# What an architecture adds; None takes a usual value away.
OWN: dict[str, dict[str, Any]] = {
    "Klear": {},
    "afm7": {"hidden_dim": 128, "num_heads": 4, "num_kv_heads": 2, "num_kv_reuse_layers": 2},
    "apertus": {"post_norm": False, "qk_norm": True},
    "baichuan_m1": {
        "sliding_window_layers": [0, 2],
        "conv_window": 2,
        "num_swa_attention_heads": 4,
        "num_swa_key_value_heads": 2,
    },
    "bailing_moe": {"topk_group": 1},
    "deepseek_v2": {"rope_scaling": YARN},
    "dbrx": {
        "d_model": 128,
        "n_layers": 4,
        "n_heads": 4,
        "ffn_config": {"ffn_hidden_size": 64, "moe_num_experts": 4, "moe_top_k": 2},
        "attn_config": {"kv_n_heads": 2, "clip_qkv": 8, "rope_theta": 10000.0},
    },
    "ernie4_5_moe": {"moe_num_experts": 4, "moe_k": 2, "moe_num_shared_experts": 1},
    "exaone4": {"sliding_window_pattern": "LG"},
    "exaone_moe": {"is_moe_layer": [False, True, True, True]},
    "falcon_h1": {"mamba_d_ssm": 256, "mamba_chunk_size": 32},
    "gear": {"layer_types": ["conv_mixer", FULL, SLIDING, FULL]},
    "gemma4_text": {
        "global_head_dim": 64,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": VOCAB,
        "num_kv_shared_layers": 1,
        "num_hidden_layers": 5,
        "layer_types": [SLIDING, FULL, SLIDING, FULL, SLIDING],
        "num_experts": None,
        "moe_intermediate_size": None,
    },
    "glm4_moe": {"topk_group": 1},
    "glm_moe_dsa": NOAUX | {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    "gpt2": {"n_ctx": 1024, "num_key_value_heads": None},
    "gpt_bigcode": {"n_inner": 192, "num_key_value_heads": None},
    "gpt_neox": {"rotary_emb_base": 10000, "rotary_pct": 0.25, "num_key_value_heads": None},
    "gptj": {"rotary_dim": 16},
    "granitemoehybrid": {"layer_types": ["mamba", "attention", "mamba", "attention"]},
    "hunyuan": {
        "num_shared_expert": 1,
        "use_mixed_mlp_moe": True,
        "rope_scaling": {"type": "dynamic", "factor": 1.0, "alpha": 1000.0},
        "use_cla": False,
        "cla_share_factor": 2,
    },
    "iquestloopcoder": {"loop_window_size": 16},
    "jamba": {
        "attn_layer_offset": 1,
        "attn_layer_period": 2,
        "expert_layer_offset": 1,
        "expert_layer_period": 2,
    },
    "kimi_linear": {"linear_attn_config": KDA},
    "laguna": {"rope_parameters": ROPE_BY_TYPE},
    "lfm2": {
        "layer_types": CONV_TYPES,
        "block_dim": 128,
        "block_multiple_of": 64,
        "block_ffn_dim_multiplier": 1.0,
        "block_auto_adjust_ff_dim": False,
    },
    "lfm2_moe": {"layer_types": CONV_TYPES, "use_expert_bias": True},
    "lille-130m": {"block_size": 1024, "n_kv_heads": 2, "n_embd": 128},
    "llama": {"layer_types": None, "sliding_window": None},
    "llama4_text": {"intermediate_size_mlp": 192, "no_rope_layers": [1, 1, 1, 0]},
    "longcat_flash": {"attention_method": "MLA"},
    "longcat_flash_ngram": {
        "ngram_vocab_size_ratio": 2,
        "emb_neighbor_num": 4,
        "emb_split_num": 4,
        "hidden_size": 192,
    },
    "mamba2": {"num_heads": 4, "head_dim": 64},
    "mellum": {"rope_parameters": ROPE_BY_TYPE},
    "mimo_v2_flash": NOAUX
    | {
        "hybrid_layer_pattern": [0, 1, 0, 1],
        "moe_layer_freq": [0, 1, 1, 1],
        "add_swa_attention_sink_bias": True,
        "add_full_attention_sink_bias": False,
        "sliding_window_size": 16,
        "layernorm_epsilon": 1e-5,
        "swa_rope_theta": 1000.0,
        "swa_num_attention_heads": 4,
        "swa_num_key_value_heads": 2,
        "swa_head_dim": 64,
        "swa_v_head_dim": 32,
        "head_dim": 64,
        "v_head_dim": 32,
    },
    "minicpm3": {
        "num_key_value_heads": 4,
        "rope_scaling": {"type": "longrope", "original_max_position_embeddings": 512},
    },
    "minimax": {"rotary_dim": 16},
    "ministral3": {"rope_parameters": YARN},
    "mistral4": {"rope_parameters": YARN, "rope_interleave": True},
    "nanbeige": {"num_loops": 2},
    "nemotron-nas": {
        "block_configs": [
            {
                "attention": {"n_heads_in_group": 2},
                "ffn": {"ffn_mult": 1.0},
            },
            {
                "attention": {"no_op": True, "n_heads_in_group": None},
                "ffn": {"ffn_mult": 1.0},
            },
            {
                "attention": {"n_heads_in_group": 4},
                "ffn": {"no_op": True, "ffn_mult": None},
            },
            {
                "attention": {"replace_with_linear": True, "n_heads_in_group": None},
                "ffn": {"ffn_mult": 1.0},
            },
        ],
    },
    "nemotron": {"hidden_act": "relu2"},
    "nemotron_h": {
        "hybrid_override_pattern": ["M", "*", "E", "*"],
        "layer_types": None,
        "mamba_num_heads": 4,
        "mamba_head_dim": 64,
        "time_step_min": 0.001,
        "time_step_max": 0.1,
    },
    "olmo": {"d_model": 128, "n_layers": 4, "n_heads": 4, "mlp_hidden_size": 384},
    "olmo_hybrid": {"layer_types": HYBRID_TYPES, "linear_allow_neg_eigval": True},
    "openelm": {
        "num_transformer_layers": 4,
        "model_dim": 128,
        "ffn_dim_divisor": 32,
        "num_query_heads": [4, 4, 8, 8],
        "num_kv_heads": [1, 2, 2, 4],
        "ffn_multipliers": [1.0, 1.5, 2.0, 2.0],
    },
    "phi3small": {
        "dense_attention_every_n_layers": 2,
        "ff_intermediate_size": 192,
        "gegelu_limit": 20.0,
        "vocab_size": 100352,
    },
    "phixtral": {
        "num_vocab": VOCAB,
        "model_dim": 128,
        "num_heads": 4,
        "rotary_dim": 16,
    },
    "plamo": {"n_shared_head": 2},
    "plamo2": {
        "hidden_size_per_head": 32,
        "mamba_num_heads": 4,
        "mamba_step": 2,
        "mamba_chunk_size": 32,
    },
    "plamo3": {"window_size": 16},
    "prism_hadamard_qwen35": {
        "schema_version": 1,
        "tensor_namespace": "mlx-lm-text",
        "quantization": {"bits": 2, "group_size": 128, "mode": "affine"},
        "modules": [
            {
                "path": "model.layers.2.mlp.gate_proj",
                "embedding": False,
                "dtype": "float16",
                "block": 0,
            }
        ],
    },
    "qwen": {"kv_channels": 32, "intermediate_size": 384},
    "recurrent_gemma": {
        "conv1d_width": 4,
        "logits_soft_cap": 30.0,
        "attention_window_size": 16,
        "block_types": ["recurrent", "attention"],
        "num_key_value_heads": 1,
    },
    "rwkv7": {
        "a_low_rank_dim": 16,
        "v_low_rank_dim": 16,
        "gate_low_rank_dim": 16,
        "decay_low_rank_dim": 16,
    },
    "smollm3": {"layer_types": None, "sliding_window": None, "no_rope_layers": [1, 1, 1, 0]},
    "spark2_5": {"rope_parameters": ROPE_BY_TYPE, "attention_bias": True},
    "starcoder2": {"norm_epsilon": 1e-5},
    "step3p5": {
        "num_attention_groups": 2,
        "moe_num_experts": 4,
        "moe_top_k": 2,
        "share_expert_dim": 64,
        "moe_layers_enum": "1,2,3",
        "attention_other_setting": {
            "num_attention_heads": 8,
            "num_attention_groups": 4,
            "head_dim": 32,
        },
    },
}

_TEXT: dict[str, dict[str, Any]] = {
    "gemma3n": {
        "num_kv_shared_layers": 2,
        "vocab_size_per_layer_input": VOCAB,
        "rope_local_base_freq": 1000.0,
        "final_logit_softcapping": 30.0,
        "activation_sparsity_pattern": [0.95, 0.0, 0.0, 0.0],
        "hidden_size_per_layer_input": 16,
        "altup_num_inputs": 2,
        "altup_coef_clip": 120.0,
        "altup_correct_scale": True,
        "altup_active_idx": 0,
        "laurel_rank": 8,
    },
    "kimi_k3": {
        "linear_attn_config": KDA,
        "activation_situ_beta": 1.0,
        "activation_situ_linear_beta": 1.0,
        "num_expert_group": 1,
    },
    "llama4": {
        "attention_chunk_size": 16,
        "num_experts_per_tok": 1,
        "interleave_moe_layer_step": 2,
        "intermediate_size_mlp": 192,
    },
    "minimax_m3_vl": {
        "dense_intermediate_size": 192,
        "layer_types": None,
        "moe_layer_freq": [0, 1, 1, 1],
        "sparse_attention_freq": [0, 1, 1, 1],
        "sparse_attention_config": {
            "use_sparse_attention": True,
            "sparse_block_size": 8,
            "sparse_num_index_heads": 2,
            "sparse_index_dim": 32,
            "sparse_topk_blocks": 2,
            "sparse_attention_freq": [0, 1, 1, 1],
        },
    },
    "muse_spark": {
        "post_norm_eps": 1e-5,
        "rope_parameters": {"rope_theta": 10000.0},
        "layer_rope_theta": [10000.0] * 4,
        "final_logit_softcapping": 20.0,
        "output_multiplier": 0.5,
        "moe_hidden_size": 64,
        "num_shared_experts": 0,
    },
    "qwen3_5": {"rope_parameters": None, "num_experts": 0},
    "qwen3_5_moe": {"rope_parameters": None},
    "prism_hadamard_qwen35": {"rope_parameters": None, "num_experts": 0},
}

# Wrappers around a text model: the module and class of its arguments.
_WRAPPED = {
    "gemma3": ("gemma3_text", "ModelArgs"),
    "gemma3n": ("gemma3n", "TextConfig"),
    "gemma4": ("gemma4_text", "ModelArgs"),
    "kimi_k25": ("deepseek_v3", "ModelArgs"),
    "kimi_k3": ("kimi_k3", "TextArgs"),
    "kimi_vl": ("deepseek_v3", "ModelArgs"),
    "lfm2-vl": ("lfm2", "ModelArgs"),
    "llama4": ("llama4", "TextArgs"),
    "minimax_m3_vl": ("minimax_m3_vl", "TextArgs"),
    "mistral3": ("llama", "ModelArgs"),
    "muse_spark": ("muse_spark", "TextArgs"),
    "pixtral": ("llama", "ModelArgs"),
    "prism_hadamard_qwen35": ("qwen3_5", "TextModelArgs"),
    "qwen2_vl": ("qwen2", "ModelArgs"),
    "qwen3_5": ("qwen3_5", "TextModelArgs"),
    "qwen3_5_moe": ("qwen3_5", "TextModelArgs"),
    "qwen3_vl": ("qwen3", "ModelArgs"),
    "qwen3_vl_moe": ("qwen3_moe", "ModelArgs"),
}


def tiny_config(architecture: str, **changes: Any) -> dict[str, Any]:
    """The ``config.json`` of a tiny model that mlx-lm's module of the name can build.

    Args:
        architecture: Module name in ``mlx_lm.models``.
        changes: Values that replace the table's, in the text part of a wrapper; None drops one.
    """
    if architecture not in _WRAPPED:
        own = OWN.get(architecture, {}) | changes
        return _filled(architecture, "ModelArgs", own) | {"model_type": architecture}
    module, arguments = _WRAPPED[architecture]
    whole = OWN.get(architecture, {}) if module != architecture else {}
    own = OWN.get(module, {}) | _TEXT.get(architecture, {}) | changes
    text = _filled(module, arguments, own) | {"model_type": module}
    return {"model_type": architecture, "vocab_size": VOCAB, "text_config": text} | whole


def _filled(module: str, arguments: str, own: dict[str, Any]) -> dict[str, Any]:
    args = getattr(importlib.import_module(f"mlx_lm.models.{module}"), arguments)
    fields = {field.name: field for field in dataclasses.fields(args)}
    values = {name: value for name, value in USUAL.items() if name in fields} | own
    missing = (dataclasses.MISSING, dataclasses.MISSING)
    return {
        name: value
        for name, value in values.items()
        if value is not None
        or (name in fields and (fields[name].default, fields[name].default_factory) == missing)
    }


def architectures() -> list[str]:
    """The modules of the installed mlx-lm that hold a model, by name."""
    folder = mlx_lm_folder()
    assert folder is not None
    names = (path.stem for path in (folder / "models").glob("*.py"))
    return sorted(name for name in names if has_architecture(name))
