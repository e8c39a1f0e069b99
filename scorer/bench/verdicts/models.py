"""The models that are trained: architectures of mlx-lm, their sizes and peculiarities."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten
from mlx_lm.utils import _get_classes

from scorer.bench.verdicts.windows import WINDOW
from scorer.demo.tokenizer import save_tokenizer, train_tokenizer

# 256 bytes and the end of a text, rounded up to what a GPU multiplies well.
_VOCABULARY = 264
_BYTE_TOKENS = 257
_COMMON: dict[str, Any] = {
    "vocab_size": _VOCABULARY,
    "hidden_act": "silu",
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "max_position_embeddings": 2 * WINDOW,
    "tie_word_embeddings": True,
    "eos_token_id": 0,
    "torch_dtype": "float16",
}
# Channels of every key head that get a large bias: they turn slowest under RoPE.
_LOUD_CHANNELS = (27, 30, 61)
_LOUDNESS = 12.0


@dataclass(frozen=True, slots=True)
class ModelPlan:
    """A model to train.

    Attributes:
        name: Its name, and that of its folder.
        config: Its `config.json`.
        seconds: Training time on an H100.
        rate: Peak learning rate.
        loud_keys: Whether a few key channels start with large biases, as Qwen2.5 has them.
        about: What is peculiar to it, in a few words.
    """

    name: str
    config: Mapping[str, Any] = field(repr=False)
    seconds: float
    rate: float
    about: str
    loud_keys: bool = False


def _config(
    kind: str, hidden: int, layers: int, heads: int, inner: int, kv_heads: int = 2, **other: Any
) -> dict[str, Any]:
    return {
        **_COMMON,
        "model_type": kind,
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": inner,
        **other,
    }


def _llama(
    hidden: int, layers: int, heads: int, inner: int, kv_heads: int = 2, head: int = 64
) -> dict[str, Any]:
    own = {"head_dim": head, "attention_bias": False, "mlp_bias": False}
    return _config("llama", hidden, layers, heads, inner, kv_heads, **own)


def _gemma(
    hidden: int, layers: int, heads: int, inner: int, kv_heads: int = 2, *, pattern: int
) -> dict[str, Any]:
    return _config(
        "gemma3_text",
        hidden,
        layers,
        heads,
        inner,
        kv_heads,
        head_dim=64,
        query_pre_attn_scalar=64,
        sliding_window=64,
        sliding_window_pattern=pattern,
        rope_local_base_freq=10000.0,
        hidden_activation="gelu_pytorch_tanh",
    )


_QWEN = _config("qwen2", 384, 9, 6, 1152)
_GEMMA = _gemma(384, 8, 6, 1152, pattern=4)
_TRY = "for a try on a CPU"

PLANS = {
    plan.name: plan
    for plan in (
        ModelPlan("llama-5m", _llama(256, 6, 4, 768), 55, 2e-3, "small"),
        ModelPlan("llama-15m", _llama(384, 9, 6, 1152), 75, 1.5e-3, "middle"),
        ModelPlan("llama-40m", _llama(640, 9, 10, 1792), 130, 1e-3, "large"),
        ModelPlan("llama-5m-short", _llama(256, 6, 4, 768), 25, 2e-3, "trained less than half"),
        ModelPlan(
            *("llama-15m-wide", _llama(384, 9, 3, 1152, head=128, kv_heads=1), 75, 1.5e-3),
            "one key-value head of 128",
        ),
        ModelPlan("qwen2-15m", _QWEN, 75, 1.5e-3, "loud key channels", loud_keys=True),
        ModelPlan("gemma3-15m", _GEMMA, 75, 1.5e-3, "windows of 64 in three of four layers"),
        ModelPlan("tiny", _llama(128, 4, 2, 384), 20, 4e-3, _TRY),
        ModelPlan("tiny-qwen2", _config("qwen2", 64, 2, 1, 128, 1), 20, 4e-3, _TRY, loud_keys=True),
        ModelPlan("tiny-gemma3", _gemma(64, 2, 1, 128, 1, pattern=2), 20, 4e-3, _TRY),
    )
}
"""All of them, by name."""


def new_model(plan: ModelPlan, seed: int = 0) -> nn.Module:
    """A model with new random float32 weights."""
    mx.random.seed(seed)
    model_class, arguments_class = _get_classes(dict(plan.config))
    model = model_class(arguments_class.from_dict(dict(plan.config)))
    if plan.config["model_type"] == "gemma3_text":
        # Its head is dropped when weights without one are loaded, and its norms add 1.
        model.sanitize({})
        _fill(model, ("layernorm.weight", "norm.weight"), 0.0)
    # Embeddings are the head too: at MLX's scale the first logits would be far too sure.
    embedding = model.model.embed_tokens
    embedding.weight = 0.02 * mx.random.normal(embedding.weight.shape)
    if plan.loud_keys:
        _make_keys_loud(model)
    return model


def _fill(model: nn.Module, ends: tuple[str, ...], value: float) -> None:
    named = tree_flatten(model.parameters())
    model.load_weights(
        [(name, mx.full(held.shape, value)) for name, held in named if name.endswith(ends)],
        strict=False,
    )


def _make_keys_loud(model: nn.Module) -> None:
    for number, layer in enumerate(model.layers):
        attention = layer.self_attn
        bias = np.array(attention.k_proj.bias).reshape(attention.n_kv_heads, -1)
        for place, channel in enumerate(_LOUD_CHANNELS):
            bias[:, channel] = _LOUDNESS * (-1) ** (number + place)
        attention.k_proj.bias = mx.array(bias.ravel())


def byte_ids() -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    """The token of each ASCII code, (128,) int32."""
    tokenizer = train_tokenizer("", _BYTE_TOKENS)
    return np.array([tokenizer.encode(chr(code)).ids[0] for code in range(128)], np.int32)


def save_model(plan: ModelPlan, model: nn.Module, folder: Path) -> None:
    """Write the model's folder, weights as float16, the weights last.

    Raises:
        OverflowError: A weight is out of float16's range.
    """
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: value.astype(mx.float16) for name, value in tree_flatten(model.parameters())}
    if not all(mx.all(mx.isfinite(value)).item() for value in weights.values()):
        raise OverflowError("a weight is out of float16's range")
    (folder / "config.json").write_text(json.dumps(dict(plan.config), indent=2) + "\n")
    save_tokenizer(train_tokenizer("", _BYTE_TOKENS), folder, 2 * WINDOW)
    part = folder / ".part.safetensors"
    mx.save_safetensors(str(part), weights, metadata={"format": "mlx"})
    part.replace(folder / "model.safetensors")
