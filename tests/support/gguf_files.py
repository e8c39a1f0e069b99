"""GGUF files written from model folders, as llama.cpp's converter writes them, and broken ones."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from k_quants import q4_k, q6_k

TYPES = {"F32": 0, "F16": 1, "BF16": 30}
"""Types that are written without the package ``gguf``, as are those of :data:`K_QUANTS`."""

K_QUANTS = {"Q4_K": (12, q4_k), "Q6_K": (14, q6_k)}

_NUMBERS = {bool: 7, int: 4, float: 6}
_WHOLE = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}
_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "self_attn.qkv_proj": "attn_qkv",
    "mlp.gate_up_proj": "ffn_up",
}
_GEMMA = {
    "post_attention_layernorm": "post_attention_norm",
    "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}


def needs_gguf() -> Any:
    """The package ``gguf``; skips the test without it."""
    return pytest.importorskip("gguf", reason="the package gguf is not installed")


@dataclass
class Stored:
    """A tensor as it is written: type, shape (rows first) and bytes."""

    kind: int
    shape: tuple[int, ...]
    data: bytes


def stored(values: np.ndarray, kind: str = "F32") -> Stored:
    """A tensor of some values; those of other types than floats by the package ``gguf``."""
    values = np.ascontiguousarray(values, np.float32)
    if kind == "F32":
        data = values.tobytes()
    elif kind == "F16":
        data = values.astype(np.float16).tobytes()
    elif kind == "BF16":
        # Exact for values that are bfloat16 already.
        data = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    elif kind in K_QUANTS:
        number, quantized = K_QUANTS[kind]
        return Stored(number, values.shape, quantized(values).tobytes())
    else:
        gguf = needs_gguf()
        number = gguf.GGMLQuantizationType[kind]
        data = gguf.quants.quantize(values, number).tobytes()
        return Stored(int(number), values.shape, data)
    return Stored(TYPES[kind], values.shape, data)


def _text(text: str) -> bytes:
    data = text.encode(errors="surrogateescape")
    return struct.pack("<Q", len(data)) + data


def _value(value: Any) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", 8) + _text(value)
    if isinstance(value, list):
        if value and isinstance(value[0], str):
            head = struct.pack("<IIQ", 9, 8, len(value))
            return head + b"".join(map(_text, value))
        return struct.pack("<IIQ", 9, 4, len(value)) + struct.pack(f"<{len(value)}I", *value)
    code = _NUMBERS[type(value)]
    return struct.pack("<I", code) + struct.pack(f"<{ {7: '?', 4: 'I', 6: 'f'}[code] }", value)


def gguf_bytes(values: Mapping[str, Any], tensors: Mapping[str, Stored], version: int = 3) -> bytes:
    """A file of some values and tensors."""
    alignment = values.get("general.alignment", 32)
    head = [b"GGUF", struct.pack("<IQQ", version, len(tensors), len(values))]
    head += [_text(key) + _value(value) for key, value in values.items()]
    data = b""
    for name, each in tensors.items():
        rank = len(each.shape)
        dims = struct.pack(f"<I{rank}Q", rank, *each.shape[::-1])
        head.append(_text(name) + dims + struct.pack("<IQ", each.kind, len(data)))
        data += each.data + bytes(-len(each.data) % alignment)
    begin = b"".join(head)
    return begin + bytes(-len(begin) % alignment) + data


def permuted(rows: np.ndarray, heads: int) -> np.ndarray:
    """Rows of queries or keys in llama.cpp's order, row by row."""
    size = len(rows) // heads
    order = []
    for head in range(heads):
        for i in range(size // 2):
            order += [head * size + i, head * size + size // 2 + i]
    return rows[order]


def tokens_of(folder: Path, rows: int) -> list[str]:
    """The tokens of a folder's ``tokenizer.json``, filled up as the converter does."""
    whole = json.loads((folder / "tokenizer.json").read_text("utf-8"))
    texts = {number: text for text, number in whole["model"]["vocab"].items()}
    texts |= {each["id"]: each["content"] for each in whole["added_tokens"]}
    return [texts.get(number, f"[PAD{number}]") for number in range(rows)]


@dataclass
class Converted:
    """What a converter makes of a model's folder: values and tensors to be changed and written."""

    values: dict[str, Any]
    tensors: dict[str, Stored]

    def write(self, path: Path) -> Path:
        path.write_bytes(gguf_bytes(self.values, self.tensors))
        return path


def converted(folder: Path, kind: str = "F32", **kinds: str) -> Converted:
    """A model as llama.cpp's converter writes it: llama, qwen2, qwen3, gemma3_text or phi3.

    Args:
        folder: The model's folder, not quantized.
        kind: The type of its matrices.
        kinds: Types of single tensors, by llama.cpp's name of the part: ``attn_q="Q8_0"``.
    """
    config = json.loads((folder / "config.json").read_text("utf-8"))
    name = config["model_type"].removesuffix("_text")
    heads, hidden = config["num_attention_heads"], config["hidden_size"]
    kv_heads = config.get("num_key_value_heads") or heads
    head_dim = config.get("head_dim") or hidden // heads
    # Rows of a model that turns neighbours, as llama.cpp does, are in its order already.
    moved = name == "llama" and not config.get("rope_traditional")
    tensors: dict[str, Stored] = {}
    weights: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob("model*.safetensors")):
        loaded: Any = mx.load(str(path))
        weights |= {key: np.array(each.astype(mx.float32)) for key, each in loaded.items()}
    for path, values in weights.items():
        own = _name(path, _LAYER | (_GEMMA if name == "gemma3" else {}))
        if name == "gemma3" and path.endswith("norm.weight"):
            values = values + 1
        if moved and ".attn_q." in own:
            values = permuted(values, heads)
        elif moved and ".attn_k." in own:
            values = permuted(values, kv_heads)
        part = own.split(".")[-2]
        tensors[own] = stored(values, kinds.get(part, kind) if values.ndim > 1 else "F32")
    found = {
        "general.architecture": name,
        "general.name": "a model",
        f"{name}.block_count": config["num_hidden_layers"],
        f"{name}.context_length": config.get("max_position_embeddings", 2048),
        f"{name}.embedding_length": hidden,
        f"{name}.feed_forward_length": config["intermediate_size"],
        f"{name}.attention.head_count": heads,
        f"{name}.attention.head_count_kv": kv_heads,
        f"{name}.attention.key_length": head_dim,
        f"{name}.attention.value_length": head_dim,
        f"{name}.attention.layer_norm_rms_epsilon": float(config["rms_norm_eps"]),
        f"{name}.rope.freq_base": float(config.get("rope_theta") or 10000.0),
        f"{name}.rope.dimension_count": head_dim,
        f"{name}.vocab_size": len(weights["model.embed_tokens.weight"]),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": tokens_of(folder, len(weights["model.embed_tokens.weight"])),
        "tokenizer.ggml.merges": ["a b", "c d"],
    }
    if name == "gemma3":
        found[f"{name}.attention.sliding_window"] = config["sliding_window"]
    return Converted(found, tensors)


def _name(path: str, layer_names: Mapping[str, str]) -> str:
    if path in _WHOLE:
        return _WHOLE[path]
    _, _, layer, *part, last = path.split(".")
    return f"blk.{layer}.{layer_names['.'.join(part)]}.{last}"
