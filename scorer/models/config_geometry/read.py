"""From ``config.json`` to the shape of the KV cache."""

from __future__ import annotations

from typing import Any

from scorer.models.config import MAX_TOKENS, ModelConfig
from scorer.models.config_geometry import full_layouts as plain
from scorer.models.config_geometry import hybrid_layouts as hybrid
from scorer.models.config_geometry.attention_sizes import layer_count
from scorer.models.config_geometry.full_layouts import FULL, SLIDING, Layout
from scorer.models.config_geometry.tables import (
    DEFAULTS,
    DENSE,
    MISTRAL3_TEXT_MODELS,
    RENAMED,
    TEXT_MODEL,
    WRAPPER_DEFAULTS,
)
from scorer.spec.geometry import KVGeometry

_MOSTLY_SLIDING = (SLIDING, SLIDING, SLIDING, FULL)

_LAYOUTS: dict[str, Layout] = dict.fromkeys(DENSE, plain.dense) | {
    "afm7": plain.afm7,
    "afmoe": plain.typed(),
    "baichuan_m1": plain.baichuan_m1,
    "bailing_hybrid": hybrid.grouped_latent,
    "bailing_moe_linear": hybrid.grouped,
    "bailing_moe_v3": hybrid.grouped_latent,
    "cohere2": plain.every_nth("sliding_window"),
    "dbrx": plain.dbrx,
    "deepseek_v2": hybrid.expanded,
    "deepseek_v3": hybrid.latent,
    "deepseek_v32": hybrid.latent_indexed,
    "exaone4": plain.exaone4,
    "exaone_moe": plain.typed(),
    "gear": plain.typed(other=""),
    "gemma3_text": plain.every_nth("sliding_window"),
    "gemma3n": plain.gemma3n,
    "gemma4_text": plain.gemma4,
    "glm4_moe_lite": hybrid.latent,
    "glm_moe_dsa": hybrid.latent_indexed,
    "gpt_bigcode": plain.gpt_bigcode,
    "gpt_oss": plain.typed((SLIDING, FULL), other=SLIDING),
    "granitemoehybrid": hybrid.granite_hybrid,
    "iquestloopcoder": plain.iquestloopcoder,
    "jamba": hybrid.jamba,
    "kimi_k3": hybrid.latent_listed,
    "kimi_linear": hybrid.latent_listed,
    "laguna": plain.typed(),
    "lfm2": hybrid.lfm2,
    "lfm2_moe": hybrid.lfm2,
    "llama": plain.typed(),
    "llama4": plain.llama4,
    "longcat_flash": hybrid.latent_pairs,
    "longcat_flash_ngram": hybrid.latent_pairs,
    "mamba": hybrid.no_kv,
    "mamba2": hybrid.no_kv,
    "mellum": plain.typed(other=SLIDING),
    "mimo_v2_flash": plain.mimo_v2_flash,
    "minicpm3": hybrid.minicpm3,
    "minimax_m3_vl": hybrid.minimax_m3,
    "ministral3": plain.typed(),
    "mistral4": hybrid.latent,
    "muse_glimmer": plain.typed(_MOSTLY_SLIDING),
    "muse_spark": plain.typed(),
    "nanbeige": plain.nanbeige,
    "nemotron-nas": plain.nemotron_nas,
    "nemotron_h": hybrid.nemotron_h,
    "olmo3": plain.typed(_MOSTLY_SLIDING, other=SLIDING),
    "olmo_hybrid": plain.typed(("linear_attention",) * 3 + (FULL,), other=""),
    "openelm": plain.openelm,
    "plamo": plain.plamo,
    "plamo2": hybrid.plamo2,
    "plamo3": plain.every_nth("sliding_window", "window_size"),
    "qwen3_5": hybrid.every_interval,
    "qwen3_next": hybrid.every_interval,
    "recurrent_gemma": hybrid.recurrent_gemma,
    "rwkv7": hybrid.no_kv,
    "spark2_5": plain.typed(_MOSTLY_SLIDING),
    "step3p5": plain.step3p5,
    "youtu_llm": hybrid.expanded,
}

# Names under which an unknown architecture may keep its sizes.
_USUAL_NAMES = {
    "num_hidden_layers": ("num_layers", "n_layer", "n_layers"),
    "num_attention_heads": ("num_heads", "n_head", "n_heads"),
    "num_key_value_heads": ("num_kv_heads", "n_kv_heads"),
    "hidden_size": ("hidden_dim", "n_embd", "d_model"),
}
_CONTEXT_NAMES = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_sequence_length",
    "seq_length",
    "max_context_length",
    "block_size",
)


def known_architectures() -> frozenset[str]:
    """Architectures whose caches are known, wrappers included."""
    return frozenset(_LAYOUTS) | frozenset(TEXT_MODEL)


def text_config(config: dict[str, Any], architecture: str) -> tuple[str, ModelConfig]:
    """The text model's architecture and its part of the config.

    Args:
        config: The whole of ``config.json``.
        architecture: The mlx-lm module that runs the model.

    Raises:
        InputError: ``text_config`` is no object.
    """
    whole = ModelConfig(config)
    wrapped = architecture in TEXT_MODEL or architecture not in _LAYOUTS
    nested = whole.section("text_config") if wrapped else None
    inner = TEXT_MODEL.get(architecture, architecture)
    if architecture == "mistral3" and nested is not None:
        named = nested.text("model_type")
        inner = named if named in MISTRAL3_TEXT_MODELS else inner
    part = nested or whole
    defaults = DEFAULTS.get(inner, {}) | WRAPPER_DEFAULTS.get(architecture, {})
    renamed = RENAMED.get(inner, {})
    if inner not in _LAYOUTS:
        renamed = {
            usual: next((name for name in others if name in part.data), usual)
            for usual, others in _USUAL_NAMES.items()
            if usual not in part.data
        }
    return inner, ModelConfig(part.data, part.where, defaults, renamed)


def read_geometry(config: dict[str, Any], architecture: str) -> KVGeometry:
    """The shape of the KV cache that mlx-lm builds for a model.

    Args:
        config: The whole of ``config.json``.
        architecture: The mlx-lm module that runs the model; one that is not known is read by the
            usual names and gives a geometry that is not ``exact``.

    Raises:
        InputError: A size is missing, of the wrong type, out of range or contradicts another.
    """
    inner, part = text_config(config, architecture)
    layout = _LAYOUTS.get(inner)
    exact = layout is not None
    layers = (layout or plain.typed(other=""))(inner, part)
    total = len(hybrid.nemotron_h_blocks(part)) if inner == "nemotron_h" else layer_count(part)
    return KVGeometry(tuple(layers), total, exact)


def vocab_size(config: dict[str, Any], architecture: str) -> int | None:
    """Entries of the vocabulary, or None where the config does not say.

    Raises:
        InputError: The value is no positive integer.
    """
    _, part = text_config(config, architecture)
    stated = part.optional_integer("vocab_size", high=1 << 31)
    return stated if stated is not None else ModelConfig(config).optional_integer("vocab_size")


def max_context(config: dict[str, Any], architecture: str) -> int | None:
    """Longest context the model was made for in tokens, or None where the config does not say.

    Raises:
        InputError: The value is no positive integer.
    """
    _, part = text_config(config, architecture)
    return part.optional_integer(*_CONTEXT_NAMES, high=MAX_TOKENS)
