"""The values of ``config.json`` that a GGUF file states, under mlx-lm's names."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.models.gguf.architectures import Architecture
from scorer.models.gguf.file import GGUFFile

_MOST = 1 << 31
_QUANTIZATION = ("quantization", "quantization_config")
_EPS = "rms_norm_eps"
_WINDOW = "attention.sliding_window"
_SLIDING_BASE = "rope.freq_base_swa"


def size_stated(gguf: GGUFFile, key: str, default: int | None = None) -> int:
    """A size that a file states under a key of its architecture.

    Args:
        gguf: The file.
        key: The key without the architecture: ``block_count``.
        default: What it is where the file does not say; None where it has to.

    Raises:
        InputError: It is not there, no positive whole number, or differs from layer to layer.
    """
    whole = f"{gguf.architecture}.{key}"
    found = gguf.values.get(whole, default)
    if isinstance(found, list) and found and len(set(found)) == 1:
        found = found[0]
    if type(found) is int and 0 < found < _MOST:
        return found
    if found is None:
        raise InputError(f"`{gguf.name}` does not say its {shown(whole)}", "convert it again")
    raise InputError(
        f"`{gguf.name}`: {shown(whole)} is {shown(found)} where one size of all layers belongs",
        "such a file is not read here",
    )


def number_stated(gguf: GGUFFile, key: str, default: float | None = None) -> float:
    """A number that a file states under a key of its architecture, as of :func:`size_stated`.

    Raises:
        InputError: It is not there, or no number.
    """
    whole = f"{gguf.architecture}.{key}"
    found = gguf.values.get(whole, default)
    if isinstance(found, int | float) and not isinstance(found, bool):
        return float(found)
    what = "does not say its" if found is None else "has no number under"
    raise InputError(f"`{gguf.name}` {what} {shown(whole)}", "convert it again")


def same_float(stated: float, value: object) -> bool:
    """Whether a value is a stated one, which files keep in float32.

    Args:
        stated: What a GGUF file states.
        value: What a config says.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return stated in (value, struct.unpack("<f", struct.pack("<f", value))[0])
    except OverflowError:
        return False


def stated_config(
    gguf: GGUFFile, architecture: Architecture, reference: Mapping[str, Any]
) -> dict[str, Any]:
    """The config of the reference with what a file says of itself in its place.

    Rotary positions are left as they are: :mod:`scorer.models.gguf.rope` compares them.

    Args:
        gguf: The file.
        architecture: Its architecture.
        reference: The whole of the reference's ``config.json``.

    Raises:
        InputError: A value is not there, or absurd.
    """
    hidden, heads = size_stated(gguf, "embedding_length"), size_stated(gguf, "attention.head_count")
    head_dim = size_stated(gguf, "attention.key_length", max(1, hidden // heads))
    if size_stated(gguf, "attention.value_length", head_dim) != head_dim:
        raise InputError(
            f"`{gguf.name}`: its keys and values have heads of different sizes",
            "such a file is not read here",
        )
    eps = number_stated(gguf, "attention.layer_norm_rms_epsilon")
    found = {name: value for name, value in reference.items() if name not in _QUANTIZATION}
    found |= architecture.constants
    if f"{gguf.architecture}.{_SLIDING_BASE}" in gguf.values:
        found["rope_local_base_freq"] = number_stated(gguf, _SLIDING_BASE)
    if architecture.scale_of_heads:
        found[architecture.scale_of_heads] = head_dim
    if f"{gguf.architecture}.{_WINDOW}" in gguf.values:
        found["sliding_window"] = size_stated(gguf, _WINDOW)
    return found | {
        "hidden_size": hidden,
        "num_hidden_layers": size_stated(gguf, "block_count"),
        "intermediate_size": size_stated(gguf, "feed_forward_length"),
        "num_attention_heads": heads,
        "num_key_value_heads": size_stated(gguf, "attention.head_count_kv", heads),
        "head_dim": head_dim,
        _EPS: reference[_EPS] if same_float(eps, reference.get(_EPS)) else eps,
        "tie_word_embeddings": not has_head(gguf),
    }


def has_head(gguf: GGUFFile) -> bool:
    """Whether a file has an output head of its own; else its token embedding serves as one."""
    return "output.weight" in gguf.tensors


def unknown_values(gguf: GGUFFile) -> list[str]:
    """Keys of a file's architecture that nothing here compares with the reference."""
    begin = f"{gguf.architecture}."
    return [
        key
        for key in gguf.values
        if key.startswith(begin) and key.removeprefix(begin) not in _COMPARED
    ]


# Compared with the reference, or without effect on what a model computes in its context.
_COMPARED = frozenset(
    (
        "embedding_length block_count feed_forward_length vocab_size context_length "
        "attention.head_count attention.head_count_kv attention.key_length "
        "attention.value_length attention.layer_norm_rms_epsilon rope.freq_base "
        "rope.dimension_count rope.scaling.type rope.scaling.factor rope.scale_linear "
        "rope.scaling.original_context_length rope.scaling.finetuned attention.causal "
        "attention.sliding_window rope.freq_base_swa "
        "expert_count expert_used_count pooling_type"
    ).split()
)
