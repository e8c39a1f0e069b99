"""Heads, dimensions and windows of an attention layer, read off ``config.json``."""

from __future__ import annotations

from scorer.common.errors import InputError
from scorer.models.config import MAX_HEADS, MAX_LAYERS, MAX_TOKENS, ModelConfig
from scorer.models.config_geometry.tables import HEAD_DIM_DERIVED, MULTI_HEAD
from scorer.spec.geometry import KVLayer


def layer_count(config: ModelConfig) -> int:
    """Decoder layers."""
    return config.integer("num_hidden_layers", high=MAX_LAYERS)


def heads_of(config: ModelConfig) -> int:
    """Attention heads."""
    return config.integer("num_attention_heads", high=MAX_HEADS)


def kv_heads_of(name: str, config: ModelConfig) -> int:
    """Key and value heads; one per attention head where the file names none.

    Raises:
        InputError: They do not divide the attention heads.
    """
    if name in MULTI_HEAD:
        return heads_of(config)
    heads = config.optional_integer("num_attention_heads", high=MAX_HEADS)
    kv_heads = config.optional_integer("num_key_value_heads", high=MAX_HEADS)
    if kv_heads is None:
        return heads_of(config)
    if heads is not None and heads % kv_heads:
        raise InputError(
            f"{config.where}: {kv_heads} key and value heads do not divide {heads} attention heads",
            "the file is damaged; download the model again",
        )
    return kv_heads


def head_dim_of(name: str, config: ModelConfig) -> int:
    """Elements of a head; hidden size / heads where the file does not say.

    Raises:
        InputError: The hidden size is smaller than the number of heads.
    """
    if name not in HEAD_DIM_DERIVED:
        head_dim = config.optional_integer("head_dim")
        if head_dim is not None:
            return head_dim
    hidden, heads = config.integer("hidden_size"), heads_of(config)
    if hidden < heads:
        raise InputError(
            f"{config.where}: hidden size {hidden} is too small for {heads} attention heads",
            "the file is damaged; download the model again",
        )
    return hidden // heads


def attention_of(name: str, config: ModelConfig) -> KVLayer:
    """The full cache of a layer whose keys and values have one width."""
    head_dim = head_dim_of(name, config)
    return KVLayer(kv_heads_of(name, config), head_dim, head_dim)


def window_of(config: ModelConfig, *names: str) -> int:
    """Tokens a sliding layer keeps."""
    return config.integer(*names, high=MAX_TOKENS)


def sliding_as(layer: KVLayer, window: int) -> KVLayer:
    """The sliding cache of the same heads and widths."""
    return KVLayer(layer.kv_heads, layer.k_dim, layer.v_dim, window, "sliding")
