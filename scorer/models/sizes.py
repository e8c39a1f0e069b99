"""Sizes of a loaded model, from ``config.json`` and the headers of its weight files.

Imports no mlx and reads no weights.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.common.regular_files import open_regular
from scorer.models.config import ModelConfig, decode_object, read_object
from scorer.models.config_geometry import text_config
from scorer.models.weight_files import is_weight_file, quantized_bits
from scorer.spec.geometry import KVGeometry

if TYPE_CHECKING:
    from scorer.models.info import ModelInfo

_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_NAMES = {"F64": "float32", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
_PACKED = {"U64": 64, "I64": 64, "U32": 32, "I32": 32, "U8": 8, "I8": 8}
_DEFAULT_GROUP = 64
# Parts of multimodal models for images and audio; mlx-lm drops them.
_NOT_TEXT = ("vision_tower", "vision_model", "visual.", "audio_tower", "multi_modal_projector")


@dataclass(frozen=True, slots=True)
class ModelSizes:
    """The sizes that determine how much memory a model takes.

    Attributes:
        stored_bytes: Bytes of its weights as stored.
        dense_bytes: Bytes of its weights as dense float32.
        largest_bytes: Bytes of its largest tensor as dense float32.
        element_bytes: Bytes per element of its compute dtype on a GPU.
        dtype: Name of that dtype, such as ``bfloat16``.
        hidden: Elements of a hidden state.
        inner: Elements of the widest intermediate state of a token, experts at work together.
        heads: Query heads.
        vocab: Columns of the logits.
        geometry: Its caches of keys and values.
    """

    stored_bytes: int
    dense_bytes: int
    largest_bytes: int
    element_bytes: int
    hidden: int
    inner: int
    heads: int
    vocab: int
    geometry: KVGeometry
    dtype: str = "bfloat16"


@dataclass(frozen=True, slots=True)
class _Tensor:
    dtype: str
    elements: int
    rows: int
    bytes: int


def model_sizes(info: ModelInfo) -> ModelSizes:
    """Return the sizes of a model that :func:`scorer.models.resolve.resolve_model` has found.

    Raises:
        InputError: A size in its config is not a positive number, or a weight file cannot be read.
    """
    config = read_object(info.path / "config.json")
    tensors: dict[str, _Tensor] = {}
    for path in sorted(info.path.iterdir()):
        if is_weight_file(path.name):
            tensors.update(_tensors(path))
    dense = list(_dense_elements(tensors, config))
    hidden = info.hidden_size or max(
        (tensor.elements // tensor.rows for tensor in tensors.values()), default=1
    )
    vocab = info.vocab_size or max((tensor.rows for tensor in tensors.values()), default=1)
    return ModelSizes(
        stored_bytes=sum(tensor.bytes for tensor in tensors.values()),
        dense_bytes=4 * sum(dense),
        largest_bytes=4 * max(dense, default=0),
        element_bytes=_element_bytes(tensors),
        hidden=hidden,
        inner=_inner(text_config(config), hidden),
        heads=info.query_heads or info.kv_heads or 1,
        vocab=vocab,
        geometry=info.geometry,
        dtype=_dtype(tensors),
    )


def _tensors(path: Path) -> Iterator[tuple[str, _Tensor]]:
    with open_regular(path, keep_access_time=True) as file:
        header = file.read(int.from_bytes(file.read(8), "little"))
    for name, tensor in decode_object(header, f"the header of `{path.name}`").items():
        if name != "__metadata__" and not any(part in name for part in _NOT_TEXT):
            shape, (start, stop) = tensor["shape"], tensor["data_offsets"]
            rows = math.prod(shape[:-1]) or 1
            yield name, _Tensor(tensor["dtype"], math.prod(shape), rows, stop - start)


def _dense_elements(tensors: dict[str, _Tensor], config: dict[str, Any]) -> Iterator[int]:
    """Yield the number of elements of each weight after dequantization.

    A quantized weight has one scale per group of elements. For other packed weights the number
    follows from the bits per weight.
    """
    stated = quantized_bits(config)
    for name, tensor in tensors.items():
        stem, _, last = name.rpartition(".")
        scales = tensors.get(f"{stem}.scales")
        if last in ("scales", "biases") and f"{stem}.weight" in tensors:
            continue
        if last == "weight" and scales is not None and tensor.dtype == "U32":
            yield scales.elements * _group_size(config, stem)
        elif tensor.dtype in _PACKED and tensor.rows > 1 and stated:
            yield int(tensor.elements * max(1.0, _PACKED[tensor.dtype] / stated))
        else:
            yield tensor.elements


def _group_size(config: dict[str, Any], layer: str) -> int:
    for key in ("quantization", "quantization_config"):
        section = config.get(key)
        if isinstance(section, dict):
            for part in (section.get(layer), section):
                size = part.get("group_size") if isinstance(part, dict) else None
                if type(size) is int and 0 < size <= 1 << 16:
                    return size
    return _DEFAULT_GROUP


def _element_bytes(tensors: dict[str, _Tensor]) -> int:
    counts: dict[int, int] = {}
    for tensor in tensors.values():
        if tensor.dtype in _BYTES:
            size = _BYTES[tensor.dtype]
            counts[size] = counts.get(size, 0) + tensor.elements
    return max(counts, key=counts.__getitem__) if counts else 2


def _dtype(tensors: dict[str, _Tensor]) -> str:
    """The commonest floating dtype, by elements."""
    counts: dict[str, int] = {}
    for tensor in tensors.values():
        if tensor.dtype in _NAMES:
            name = _NAMES[tensor.dtype]
            counts[name] = counts.get(name, 0) + tensor.elements
    return max(counts, key=counts.__getitem__) if counts else "bfloat16"


def _inner(part: ModelConfig, hidden: int) -> int:
    dense = part.optional_integer("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size")
    expert = part.optional_integer("moe_intermediate_size")
    chosen = part.optional_integer("num_experts_per_tok", "num_experts_per_token", "moe_topk")
    active = (expert or dense or 4 * hidden) * chosen if chosen else 0
    return max(dense or 4 * hidden, active)
