"""Caches of architectures with compressed keys and values, or with layers that keep none."""

from __future__ import annotations

from collections.abc import Iterable

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.models.config import MAX_LAYERS, ModelConfig
from scorer.models.config_geometry.attention_sizes import (
    attention_of,
    head_dim_of,
    heads_of,
    layer_count,
    window_of,
)
from scorer.models.config_geometry.full_layouts import FULL
from scorer.spec.geometry import KVLayer


def no_kv(name: str, config: ModelConfig) -> list[KVLayer]:
    """State-space and recurrent models keep no keys and values."""
    layer_count(config)
    return []


def _latent(config: ModelConfig) -> KVLayer:
    # The compressed vector is stored as the key, the rotary part of the key as the value.
    return KVLayer(
        1,
        config.integer("kv_lora_rank"),
        config.optional_integer("qk_rope_head_dim", low=0) or 0,
        kind="latent",
    )


def latent(name: str, config: ModelConfig) -> list[KVLayer]:
    """Multi-head latent attention: one compressed head a layer."""
    return [_latent(config)] * layer_count(config)


def latent_indexed(name: str, config: ModelConfig) -> list[KVLayer]:
    """A latent cache and an index cache a layer; the index keeps zeros as its values."""
    width = config.integer("index_head_dim")
    return [_latent(config), KVLayer(1, width, width, kind="index")] * layer_count(config)


def latent_pairs(name: str, config: ModelConfig) -> list[KVLayer]:
    """Two latent attentions a layer."""
    return [_latent(config)] * (2 * layer_count(config))


def latent_listed(name: str, config: ModelConfig) -> list[KVLayer]:
    """Latent attention where ``linear_attn_config`` does not name the layer, counted from 1."""
    linear = config.section("linear_attn_config")
    listed = linear.integers("kda_layers") if linear is not None else None
    if listed is None:
        raise config.missing("linear_attn_config")
    kept = _others(layer_count(config), set(listed))
    return [_latent(config)] * kept


def _others(count: int, listed: set[int]) -> int:
    return sum(1 for i in range(count) if i + 1 not in listed)


def expanded(name: str, config: ModelConfig) -> list[KVLayer]:
    """Latent attention that caches the expanded keys and values of every head."""
    key = config.integer("qk_nope_head_dim") + config.integer("qk_rope_head_dim", low=0)
    value = config.integer("v_head_dim")
    return [KVLayer(heads_of(config), key, value)] * layer_count(config)


def minicpm3(name: str, config: ModelConfig) -> list[KVLayer]:
    """As :func:`expanded`, the value dimension being hidden size / heads."""
    key = config.integer("qk_nope_head_dim") + config.integer("qk_rope_head_dim", low=0)
    value = config.integer("hidden_size") // heads_of(config)
    return [KVLayer(heads_of(config), key, value)] * layer_count(config)


def _global_layers(config: ModelConfig) -> int:
    count, group = layer_count(config), config.integer("layer_group_size", high=MAX_LAYERS)
    whole = count // group * group
    return count // group + (count - whole)


def grouped(name: str, config: ModelConfig) -> list[KVLayer]:
    """The last layer of every group of ``layer_group_size`` attends, and what is left over."""
    return [attention_of(name, config)] * _global_layers(config)


def grouped_latent(name: str, config: ModelConfig) -> list[KVLayer]:
    """As :func:`grouped`, with latent attention."""
    return [_latent(config)] * _global_layers(config)


def every_interval(name: str, config: ModelConfig) -> list[KVLayer]:
    """Every ``full_attention_interval``-th layer attends, the others are linear attention."""
    interval = config.integer("full_attention_interval", high=MAX_LAYERS)
    return [attention_of(name, config)] * (layer_count(config) // interval)


def lfm2(name: str, config: ModelConfig) -> list[KVLayer]:
    """Layers listed in ``full_attn_idxs``, or typed full attention; the others convolve."""
    count = layer_count(config)
    indices = config.integers("full_attn_idxs")
    if indices is None:
        types = config.texts("layer_types", count)
        if types is None:
            raise config.missing("layer_types")
        indices = [i for i, kind in enumerate(types) if kind == FULL]
    return [attention_of(name, config)] * len(set(indices) & set(range(count)))


def granite_hybrid(name: str, config: ModelConfig) -> list[KVLayer]:
    """Layers typed ``attention``; the others are state space."""
    types = config.texts("layer_types", layer_count(config))
    if types is None:
        raise config.missing("layer_types")
    return _matching(name, config, types[: layer_count(config)], "attention")


def jamba(name: str, config: ModelConfig) -> list[KVLayer]:
    """Layers of block type ``attention``, or one every period from an offset on."""
    count = layer_count(config)
    types = config.texts("layers_block_type", count)
    if types is None:
        period = config.integer("attn_layer_period", high=MAX_LAYERS)
        offset = config.integer("attn_layer_offset", low=0, high=MAX_LAYERS)
        types = ["attention" if i % period == offset else "mamba" for i in range(count)]
    return _matching(name, config, types[:count], "attention")


def _matching(name: str, config: ModelConfig, types: Iterable[str], kind: str) -> list[KVLayer]:
    count = sum(1 for each in types if each == kind)
    return [attention_of(name, config)] * count if count else []


_NEMOTRON_ATTENTION = ("*", "full_attention", "attention")


def nemotron_h(name: str, config: ModelConfig) -> list[KVLayer]:
    """Blocks marked ``*``; the others are state space, experts or dense."""
    blocks = nemotron_h_blocks(config)
    count = sum(1 for block in blocks if block in _NEMOTRON_ATTENTION)
    return [attention_of(name, config)] * count if count else []


def nemotron_h_blocks(config: ModelConfig) -> list[str]:
    """One entry a layer: the characters of the pattern, or the listed block types."""
    pattern = config.data.get("hybrid_override_pattern")
    if isinstance(pattern, str):
        blocks: list[str] | None = list(pattern)
    else:
        blocks = (
            config.texts("hybrid_override_pattern")
            or config.texts("layers_block_type")
            or config.texts("layer_types")
        )
    if not blocks:
        raise config.missing("hybrid_override_pattern")
    if len(blocks) > MAX_LAYERS:
        raise InputError(f"{config.where} describes {shown(len(blocks))} layers", "")
    return blocks


def plamo2(name: str, config: ModelConfig) -> list[KVLayer]:
    """One layer of every ``mamba_step`` attends; a short model's last layer does."""
    count = layer_count(config)
    if not config.flag("mamba_enabled", default=True):
        return [attention_of(name, config)] * count
    step = config.integer("mamba_step", low=2, high=MAX_LAYERS)
    kept = 1 if count <= step // 2 else sum(1 for i in range(count) if i % step == step // 2)
    return [attention_of(name, config)] * kept


def recurrent_gemma(name: str, config: ModelConfig) -> list[KVLayer]:
    """Blocks that do not recur attend through a window, with one key and value head."""
    blocks = config.texts("block_types") or config.texts("_block_types")
    if not blocks:
        raise config.missing("block_types")
    head_dim = head_dim_of(name, config)
    window = window_of(config, "attention_window_size")
    sliding = KVLayer(1, head_dim, head_dim, window, "sliding")
    types = [blocks[i % len(blocks)] for i in range(layer_count(config))]
    return [sliding for kind in types if kind != "recurrent"]


def minimax_m3(name: str, config: ModelConfig) -> list[KVLayer]:
    """Full caches; sparse layers keep index keys beside them, without values."""
    count = layer_count(config)
    sparse = config.section("sparse_attention_config") or ModelConfig({})
    block = sparse.optional_integer("sparse_block_size") or config.optional_integer(
        "index_block_size"
    )
    types = config.texts("layer_types", count)
    frequency = sparse.integers("sparse_attention_freq", count) or config.integers(
        "sparse_attention_freq", count
    )
    full = attention_of(name, config)
    layers = []
    for i in range(count):
        layers.append(full)
        if block is None:
            continue
        if types[i] != FULL if types is not None else frequency[i] if frequency else True:
            width = sparse.optional_integer("sparse_index_dim") or config.integer("index_head_dim")
            layers.append(KVLayer(1, width, 0, kind="index"))
    return layers
