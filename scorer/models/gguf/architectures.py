"""The architectures whose GGUF files are read: what llama.cpp calls their tensors, and changes.

Source: ``MODEL_TENSORS`` and ``tensor_mapping.py`` of the package ``gguf``, and the classes of
llama.cpp's ``convert_hf_to_gguf.py``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from scorer.common.errors import InputError
from scorer.common.inert_text import shown

ROPE_FACTORS = "rope_freqs.weight"
"""The tensor of what the frequencies of rotary positions are divided by."""

EMBEDDING, HEAD = "model.embed_tokens", "lm_head"

_BLOCK = re.compile(r"blk\.(0|[1-9]\d{0,5})\.([a-z_]+)\.(weight|bias)")
_WHOLE = {"token_embd": EMBEDDING, "output_norm": "model.norm", "output": HEAD}
_USUAL = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_HEAD_NORMS = {"attn_q_norm": "self_attn.q_norm", "attn_k_norm": "self_attn.k_norm"}
_FUSED = {
    "attn_norm": "input_layernorm",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_up": "mlp.gate_up_proj",
    "ffn_down": "mlp.down_proj",
}
_NORMS_BEHIND = {
    "ffn_norm": "pre_feedforward_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """An architecture.

    Attributes:
        name: llama.cpp's name of it; the first word of its keys.
        mlx: mlx-lm's module of it.
        layer: Part of a layer as llama.cpp calls it, to mlx-lm's path in the layer.
        turns_neighbours: Whether llama.cpp's rotary positions turn neighbouring elements of a head
            together; else elements half a head apart, as mlx-lm does unless a config says
            ``rope_traditional``.
        norms_from_one: Whether norm weights are one larger than mlx-lm's.
        constants: Values of a config that llama.cpp has in its code.
        scale_of_heads: The value of a config that llama.cpp takes to be the elements of a head; ""
            for none.
    """

    name: str
    mlx: str
    layer: Mapping[str, str] = field(default_factory=lambda: _USUAL)
    turns_neighbours: bool = False
    norms_from_one: bool = False
    constants: Mapping[str, float] = field(default_factory=dict)
    scale_of_heads: str = ""

    def path_of(self, name: str) -> str | None:
        """mlx-lm's name of a tensor; None where the architecture has no such tensor."""
        if (block := _BLOCK.fullmatch(name)) is not None:
            part = self.layer.get(block[2])
            return None if part is None else f"model.layers.{block[1]}.{part}.{block[3]}"
        stem, _, last = name.rpartition(".")
        return f"{_WHOLE[stem]}.{last}" if stem in _WHOLE and last == "weight" else None


_KNOWN = (
    Architecture("llama", "llama", turns_neighbours=True),
    Architecture("qwen2", "qwen2"),
    Architecture("qwen3", "qwen3", _USUAL | _HEAD_NORMS),
    Architecture(
        "gemma3",
        "gemma3_text",
        _USUAL | _HEAD_NORMS | _NORMS_BEHIND,
        norms_from_one=True,
        constants={"sliding_window_pattern": 6, "rope_local_base_freq": 10_000.0},
        scale_of_heads="query_pre_attn_scalar",
    ),
    Architecture("phi3", "phi3", _FUSED),
)
ARCHITECTURES = {each.name: each for each in _KNOWN}
"""llama.cpp's name to architecture."""


def architecture_named(name: str, file: str) -> Architecture:
    """The architecture of a GGUF file.

    Args:
        name: llama.cpp's name of it.
        file: Name of the file, for the error.

    Raises:
        InputError: It is not one of those that are read.
    """
    found = ARCHITECTURES.get(name)
    if found is None:
        what = f"is of the architecture {shown(name)}" if name else "names no architecture"
        raise InputError(
            f"`{file}` {what}; GGUF is read of {', '.join(ARCHITECTURES)}",
            "name a folder or repo of the same weights in safetensors",
        )
    return found
