"""Sizes of a model, from headers alone: what it takes as stored and as dense float32."""

from __future__ import annotations

import json
import math
import shutil
import struct
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx.utils import tree_flatten
from tiny_runs import Small

from scorer.models.resolve import resolve_model
from scorer.models.sizes import ModelSizes, model_sizes

BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "U8": 1}


def rewritten(
    small: Small, folder: Path, tensors: dict[str, tuple[str, tuple[int, ...]]], **config: Any
) -> ModelSizes:
    """Sizes of the tiny model with other tensors in its weight file, all zeros."""
    shutil.copytree(small.model, folder, dirs_exist_ok=True)
    header, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = BYTES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(end))
    known = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(known | config))
    return model_sizes(resolve_model(str(folder)))


def test_a_plain_model_takes_what_it_stores(small: Small) -> None:
    stored = mx.load(str(small.model / "model.safetensors"))
    assert isinstance(stored, dict)
    sizes = model_sizes(resolve_model(str(small.model)))
    assert sizes.stored_bytes == sizes.dense_bytes == sum(a.nbytes for a in stored.values())
    assert sizes.largest_bytes == max(a.nbytes for a in stored.values())
    config = json.loads((small.model / "config.json").read_text())
    assert (sizes.hidden, sizes.inner) == (config["hidden_size"], config["intermediate_size"])
    assert (sizes.heads, sizes.vocab) == (config["num_attention_heads"], config["vocab_size"])
    assert sizes.element_bytes == 4


@pytest.mark.parametrize(
    ("bits", "group", "mode"),
    [(2, 32, "affine"), (3, 64, "affine"), (4, 64, "affine"), (8, 32, "affine"), (4, 32, "mxfp4")],
)
def test_quantized_weights_are_counted_as_mlx_dequantizes_them(
    small: Small, tmp_path: Path, bits: int, group: int, mode: str
) -> None:
    layer = nn.Linear(256, 96, bias=False)
    layer.set_dtype(mx.float16)
    quantized = layer.to_quantized(group_size=group, bits=bits, mode=mode)
    names = {mx.uint32: "U32", mx.uint8: "U8", mx.float16: "F16"}
    parts = {
        f"model.layers.0.mlp.down_proj.{name}": (names[array.dtype], tuple(array.shape))
        for name, array in tree_flatten(quantized.parameters())
    }
    found = rewritten(
        small,
        tmp_path / "m",
        parts | {"model.embed_tokens.weight": ("F16", (256, 128))},
        quantization={"group_size": group, "bits": bits, "mode": mode},
    )
    assert found.dense_bytes == 4 * (256 * 96 + 256 * 128)
    assert found.largest_bytes == 4 * 256 * 128
    assert found.element_bytes == 2
    assert found.stored_bytes < found.dense_bytes / 2


def test_a_layer_may_have_a_group_of_its_own(small: Small, tmp_path: Path) -> None:
    parts = {
        "a.weight": ("U32", (64, 16)),
        "a.scales": ("F16", (64, 4)),
        "a.biases": ("F16", (64, 4)),
        "b.weight": ("U32", (64, 16)),
        "b.scales": ("F16", (64, 2)),
        "b.biases": ("F16", (64, 2)),
    }
    of_its_own = {"group_size": 64, "bits": 4, "a": {"group_size": 32, "bits": 4}}
    found = rewritten(small, tmp_path / "m", parts, quantization=of_its_own)
    assert found.dense_bytes == 4 * 2 * 64 * 128


def test_other_packed_weights_go_by_their_bits(small: Small, tmp_path: Path) -> None:
    parts = {"a.qweight": ("I32", (64, 32)), "a.qzeros": ("I32", (1, 8))}
    quantization = {"quant_method": "gptq", "bits": 4}
    found = rewritten(small, tmp_path / "m", parts, quantization_config=quantization)
    assert found.dense_bytes == 4 * (64 * 32 * 8 + 8)


def test_what_a_text_run_drops_is_not_counted(small: Small, tmp_path: Path) -> None:
    text = {"model.embed_tokens.weight": ("BF16", (64, 128))}
    seen = {"vision_tower.blocks.0.weight": ("BF16", (512, 512))}
    with_it = rewritten(small, tmp_path / "a", text | seen)
    assert with_it == rewritten(small, tmp_path / "b", text)


def test_experts_at_work_together_make_the_widest_state(small: Small, tmp_path: Path) -> None:
    one = {"model.embed_tokens.weight": ("F16", (64, 128))}
    experts = {"moe_intermediate_size": 768, "num_experts_per_tok": 8}
    assert rewritten(small, tmp_path / "m", one, **experts).inner == 8 * 768
