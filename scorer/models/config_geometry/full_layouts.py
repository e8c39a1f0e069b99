"""Caches of architectures whose every layer attends: full, sliding, chunked or shared."""

from __future__ import annotations

from collections.abc import Callable

from scorer.common.errors import InputError
from scorer.models.config import MAX_HEADS, MAX_LAYERS, ModelConfig
from scorer.models.config_geometry.attention_sizes import (
    attention_of,
    head_dim_of,
    heads_of,
    kv_heads_of,
    layer_count,
    sliding_as,
    window_of,
)
from scorer.spec.geometry import KVLayer

Layout = Callable[[str, ModelConfig], list[KVLayer]]

FULL, SLIDING = "full_attention", "sliding_attention"


def dense(name: str, config: ModelConfig) -> list[KVLayer]:
    """One full cache per layer."""
    return [attention_of(name, config)] * layer_count(config)


def _assign(
    name: str, config: ModelConfig, types: list[str], *, other: str, key: str = "sliding_window"
) -> list[KVLayer]:
    """Caches of layers of the given types; a type that is neither counts as ``other``."""
    full = attention_of(name, config)
    kinds = [kind if kind in (FULL, SLIDING) else other for kind in types]
    sliding = sliding_as(full, window_of(config, key)) if SLIDING in kinds else full
    return [full if kind == FULL else sliding for kind in kinds if kind]


def typed(
    default: tuple[str, ...] = (FULL,), *, other: str = FULL, key: str = "sliding_window"
) -> Layout:
    """Layers by ``layer_types``, or by a repeated default.

    Args:
        default: The pattern where the file has no list.
        other: What a type counts as that is neither full nor sliding attention; empty for a
            layer without keys and values.
        key: Where the window is.
    """

    def layout(name: str, config: ModelConfig) -> list[KVLayer]:
        count = layer_count(config)
        types = config.texts("layer_types", count)
        if types is None:
            types = [default[i % len(default)] for i in range(count)]
        return _assign(name, config, types[:count], other=other, key=key)

    return layout


def every_nth(*window_names: str) -> Layout:
    """Every n-th layer is full, the others slide; n is ``sliding_window_pattern``."""

    def layout(name: str, config: ModelConfig) -> list[KVLayer]:
        full = attention_of(name, config)
        period = config.integer("sliding_window_pattern", high=MAX_LAYERS)
        sliding = sliding_as(full, window_of(config, *window_names)) if period > 1 else full
        return [sliding if (i + 1) % period else full for i in range(layer_count(config))]

    return layout


def exaone4(name: str, config: ModelConfig) -> list[KVLayer]:
    """Full and sliding layers by a string of ``G`` and ``L``; no string: all full."""
    full = attention_of(name, config)
    pattern = config.text("sliding_window_pattern")
    if not pattern:
        return [full] * layer_count(config)
    sliding = sliding_as(full, window_of(config, "sliding_window"))
    return [
        sliding if pattern[i % len(pattern)] == "L" else full for i in range(layer_count(config))
    ]


def step3p5(name: str, config: ModelConfig) -> list[KVLayer]:
    """Sliding layers with key and value heads of their own."""
    count = layer_count(config)
    types = config.texts("layer_types")
    if not types:
        types = [FULL if i % 2 else SLIDING for i in range(count)]
    elif len(types) < count:
        config.texts("layer_types", count)
    head_dim = config.integer("head_dim")
    groups = config.integer("num_key_value_heads", high=MAX_HEADS)
    other = config.section("attention_other_setting")
    own = other.integer("num_attention_groups", high=MAX_HEADS) if other and other.data else groups
    full = KVLayer(groups, head_dim, head_dim)
    sliding = KVLayer(own, head_dim, head_dim, window_of(config, "sliding_window"), "sliding")
    return [sliding if kind == SLIDING else full for kind in types[:count]]


def gemma3n(name: str, config: ModelConfig) -> list[KVLayer]:
    """As by ``layer_types``; the last layers read the cache of an earlier one."""
    count = layer_count(config)
    types = config.texts("layer_types", count)
    if types is None:
        raise config.missing("layer_types")
    shared = config.integer("num_kv_shared_layers", low=0, high=count - 1)
    return _assign(name, config, types[: count - shared], other=SLIDING)


def gemma4(name: str, config: ModelConfig) -> list[KVLayer]:
    """Full layers with dimensions of their own; the last layers read an earlier one's cache."""
    count = layer_count(config)
    types = config.texts("layer_types", count)
    if types is None:
        period = config.integer("sliding_window_pattern", high=MAX_LAYERS)
        types = [SLIDING if (i + 1) % period else FULL for i in range(count)]
    shared = config.integer("num_kv_shared_layers", low=0, high=count - 1)
    kv_heads, head_dim = kv_heads_of(name, config), head_dim_of(name, config)
    wide = config.integer("global_head_dim", low=0) or head_dim
    own = config.optional_integer("num_global_key_value_heads", high=MAX_HEADS)
    full_heads = own if own is not None and config.flag("attention_k_eq_v") else kv_heads
    full = KVLayer(full_heads, wide, wide)
    sliding = KVLayer(kv_heads, head_dim, head_dim, window_of(config, "sliding_window"), "sliding")
    return [full if kind == FULL else sliding for kind in types[: count - shared]]


def llama4(name: str, config: ModelConfig) -> list[KVLayer]:
    """Three chunked layers, then a full one."""
    full = attention_of(name, config)
    chunk = window_of(config, "attention_chunk_size")
    chunked = KVLayer(full.kv_heads, full.k_dim, full.v_dim, chunk, "chunked")
    return [chunked if (i + 1) % 4 else full for i in range(layer_count(config))]


def mimo_v2_flash(name: str, config: ModelConfig) -> list[KVLayer]:
    """Sliding layers with heads and dimensions of their own; V narrower than K."""
    count = layer_count(config)
    pattern = config.integers("hybrid_layer_pattern", count)
    if pattern is None:
        raise config.missing("hybrid_layer_pattern")
    full = KVLayer(
        kv_heads_of(name, config), config.integer("head_dim"), config.integer("v_head_dim")
    )
    sliding = KVLayer(
        config.integer("swa_num_key_value_heads", high=MAX_HEADS),
        config.integer("swa_head_dim"),
        config.integer("swa_v_head_dim"),
        window_of(config, "sliding_window_size"),
        "sliding",
    )
    return [sliding if flag == 1 else full for flag in pattern[:count]]


def baichuan_m1(name: str, config: ModelConfig) -> list[KVLayer]:
    """Listed layers slide, with heads of their own."""
    count = layer_count(config)
    listed = set(config.integers("sliding_window_layers") or [])
    full = attention_of(name, config)
    heads = config.optional_integer("num_swa_attention_heads", low=0, high=MAX_HEADS)
    kv_heads = config.optional_integer("num_swa_key_value_heads", low=0, high=MAX_HEADS)
    head_dim = config.integer("hidden_size") // (heads or heads_of(config))
    sliding = full
    if listed:
        window = window_of(config, "sliding_window")
        sliding = KVLayer(kv_heads or full.kv_heads, head_dim, head_dim, window, "sliding")
    return [sliding if i in listed else full for i in range(count)]


def iquestloopcoder(name: str, config: ModelConfig) -> list[KVLayer]:
    """Two passes through the layers: a full cache each, then a sliding one each."""
    full = attention_of(name, config)
    sliding = sliding_as(full, window_of(config, "loop_window_size"))
    return [full] * layer_count(config) + [sliding] * layer_count(config)


def nanbeige(name: str, config: ModelConfig) -> list[KVLayer]:
    """Several passes through the layers, a cache each."""
    return dense(name, config) * config.integer("num_loops", high=64)


def afm7(name: str, config: ModelConfig) -> list[KVLayer]:
    """The last layers read the cache of an earlier one."""
    count = layer_count(config)
    reused = config.integer("num_kv_reuse_layers", low=0, high=count - 1)
    return [attention_of(name, config)] * (count - reused)


def gpt_bigcode(name: str, config: ModelConfig) -> list[KVLayer]:
    """One key and value head for all unless ``multi_query`` is false."""
    head_dim = head_dim_of(name, config)
    kv_heads = 1 if config.flag("multi_query", default=True) else heads_of(config)
    return [KVLayer(kv_heads, head_dim, head_dim)] * layer_count(config)


def dbrx(name: str, config: ModelConfig) -> list[KVLayer]:
    """Key and value heads are in ``attn_config``."""
    attention = config.section("attn_config")
    if attention is None:
        raise config.missing("attn_config")
    head_dim = head_dim_of(name, config)
    kv_heads = attention.integer("kv_n_heads", high=MAX_HEADS)
    return [KVLayer(kv_heads, head_dim, head_dim)] * layer_count(config)


def plamo(name: str, config: ModelConfig) -> list[KVLayer]:
    """``n_shared_head`` attention heads share one key and value head."""
    head_dim = head_dim_of(name, config)
    kv_heads = -(-heads_of(config) // config.integer("n_shared_head", high=MAX_HEADS))
    return [KVLayer(kv_heads, head_dim, head_dim)] * layer_count(config)


def openelm(name: str, config: ModelConfig) -> list[KVLayer]:
    """Key and value heads differ from layer to layer."""
    count = layer_count(config)
    head_dim = config.integer("head_dim")
    kv_heads = config.integers("num_kv_heads", count, low=1, high=MAX_HEADS)
    if kv_heads is None:
        raise config.missing("num_kv_heads")
    return [KVLayer(heads, head_dim, head_dim) for heads in kv_heads[:count]]


def nemotron_nas(name: str, config: ModelConfig) -> list[KVLayer]:
    """Heads by block; some blocks have no attention."""
    count = layer_count(config)
    blocks = config.data.get("block_configs")
    if not isinstance(blocks, list) or len(blocks) != count:
        raise InputError(f"{config.where}: `block_configs` does not list {count} blocks", "")
    head_dim, heads = head_dim_of(name, config), heads_of(config)
    layers = []
    for block in blocks:
        if not isinstance(block, dict):
            raise InputError(f"{config.where}: a block of `block_configs` is not an object", "")
        attention = ModelConfig(block, f"{config.where}: `block_configs`").section("attention")
        if attention is None or attention.flag("no_op") or attention.flag("replace_with_linear"):
            continue
        group = attention.integer("n_heads_in_group", high=heads)
        layers.append(KVLayer(heads // group, head_dim, head_dim))
    return layers
