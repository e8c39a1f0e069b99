"""What ``config.json`` says of a model's shape by the names that most architectures use.

The exact shape is measured, see :mod:`scorer.models.kept_geometry`; until that is done the
geometry read here is a guess.
"""

from __future__ import annotations

from typing import Any

from scorer.models.config import MAX_HEADS, MAX_LAYERS, MAX_TOKENS, ModelConfig
from scorer.models.rope_parameters import scaling_of
from scorer.spec.geometry import KVGeometry, KVLayer

# The first name of each is checked; the others mean something else in some architecture.
_LAYERS = ("num_hidden_layers", "num_layers", "n_layer", "n_layers", "num_transformer_layers")
_HEADS = ("num_attention_heads", "num_heads", "n_head", "n_heads")
_KV_HEADS = ("num_key_value_heads", "num_kv_heads", "n_kv_heads")
_HIDDEN = ("hidden_size", "hidden_dim", "n_embd", "d_model", "model_dim", "dim")
_CONTEXT = (
    "max_position_embeddings",
    "n_positions",
    "n_ctx",
    "max_sequence_length",
    "seq_length",
    "max_context_length",
    "block_size",
)


def text_config(config: dict[str, Any]) -> ModelConfig:
    """The part of a config that describes the text model: ``text_config`` if there is one.

    Args:
        config: The whole of ``config.json``.

    Raises:
        InputError: ``text_config`` is no object.
    """
    whole = ModelConfig(config)
    return whole.section("text_config") or whole


def guessed_geometry(config: dict[str, Any]) -> KVGeometry:
    """A guess of the KV cache: one full cache a layer, sizes by their usual names.

    Args:
        config: The whole of ``config.json``.

    Returns:
        A geometry that is not ``exact``. It has no layers where the config does not state heads
        and widths by a usual name, and 0 total layers where it does not state their number.

    Raises:
        InputError: A size is no positive integer or larger than any model's.
    """
    part = text_config(config)
    layers = layer_count(config)
    heads = query_heads(config)
    kv_heads = _stated(part, _KV_HEADS, MAX_HEADS) or heads
    head_dim = part.optional_integer("head_dim")
    hidden = hidden_size(config)
    if head_dim is None and hidden is not None and heads is not None:
        head_dim = hidden // heads
    if not layers or not kv_heads or not head_dim:
        return KVGeometry((), layers or 0, exact=False)
    return KVGeometry((KVLayer(kv_heads, head_dim, head_dim),) * layers, layers, exact=False)


def layer_count(config: dict[str, Any]) -> int | None:
    """Number of layers, or None where the config does not state it by a usual name.

    Raises:
        InputError: The value is no positive integer or too large.
    """
    return _stated(text_config(config), _LAYERS, MAX_LAYERS)


def query_heads(config: dict[str, Any]) -> int | None:
    """Attention heads, or None where the config does not state them by a usual name.

    Raises:
        InputError: The value is no positive integer or too large.
    """
    return _stated(text_config(config), _HEADS, MAX_HEADS)


def hidden_size(config: dict[str, Any]) -> int | None:
    """Elements of a hidden state, or None where the config does not state them by a usual name.

    Raises:
        InputError: The value is no positive integer or too large.
    """
    return _stated(text_config(config), _HIDDEN)


def vocab_size(config: dict[str, Any]) -> int | None:
    """Entries of the vocabulary, or None where the config does not state them.

    Raises:
        InputError: The value is no positive integer.
    """
    stated = text_config(config).optional_integer("vocab_size", high=1 << 31)
    return stated if stated is not None else ModelConfig(config).optional_integer("vocab_size")


def max_context(config: dict[str, Any]) -> int | None:
    """Longest context the model was made for in tokens, or None where the config does not say.

    A value that is no count of tokens, as ``-1``, says nothing. Stretched positions (YaRN and
    others) reach as far as the original context times their factor, also where the stated context
    is still the original one.

    Raises:
        InputError: ``text_config`` is no object.
    """
    part = text_config(config)
    stated = next((n for name in _CONTEXT if (n := _tokens(part.data.get(name)))), None)
    stretched = [
        int((_tokens(scaling.get("original_max_position_embeddings")) or stated or 0) * factor)
        for scaling in _scalings(part.data)
        if isinstance(factor := scaling.get("factor"), int | float) and 1 < factor < MAX_TOKENS
    ]
    longest = max((stated or 0, *stretched))
    return longest if longest else None


def _tokens(value: Any) -> int | None:
    """A count of tokens; None for anything else."""
    whole = type(value) is int or (isinstance(value, float) and value.is_integer())
    return int(value) if whole and 0 < value <= MAX_TOKENS else None


def _scalings(values: dict[str, Any]) -> list[dict[str, Any]]:
    """What is said of scaled positions: of the whole model, or of each kind of its layers."""
    found = []
    for name in ("rope_scaling", "rope_parameters"):
        stated = values.get(name)
        if isinstance(stated, dict):
            inside = [part for part in stated.values() if isinstance(part, dict)]
            found += [part for part in (stated, *inside) if scaling_of(part) is not None]
    return found


def _stated(part: ModelConfig, names: tuple[str, ...], high: int | None = None) -> int | None:
    """The first size that is stated under one of the names."""
    limits = {} if high is None else {"high": high}
    value = part.optional_integer(names[0], **limits)
    if value is not None:
        return value
    for name in names[1:]:
        if type(part.data.get(name)) is int:
            return part.optional_integer(name, **limits)
    return None
