"""The precision of a GGUF file's weights, and its tensors under mlx-lm's names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from scorer.common.errors import InputError
from scorer.common.inert_text import shown
from scorer.models.gguf.architectures import (
    EMBEDDING,
    HEAD,
    ROPE_FACTORS,
    Architecture,
)
from scorer.models.gguf.config import has_head
from scorer.models.gguf.file import GGUFFile
from scorer.models.precision import parameters_of, quantized_layers, unquantized
from scorer.models.weight_layout import WeightLayout
from scorer.models.weight_precision import WeightPrecision
from scorer.models.weight_tensors import Tensor
from scorer.spec.weight_format import WeightFormat

# Every type keeps a float16 scale a block, or one of a byte.
_SCALES = "float16"


def mlx_names(gguf: GGUFFile, architecture: Architecture) -> dict[str, str]:
    """mlx-lm's name of each tensor that is a weight, to the file's name of it.

    Raises:
        InputError: The file has a tensor that the architecture has not.
    """
    found: dict[str, str] = {}
    for name in gguf.tensors:
        if name == ROPE_FACTORS:
            continue
        path = architecture.path_of(name)
        if path is None:
            raise InputError(
                f"`{gguf.name}` has the tensor {shown(name)}, which is not read of the "
                f"architecture `{architecture.name}`",
                "name a folder or repo of the same weights in safetensors",
            )
        found[path] = name
    return found


def layout_of(
    gguf: GGUFFile, architecture: Architecture, config: Mapping[str, Any]
) -> WeightLayout:
    """The weights of a file as those of a model's folder are described.

    Args:
        gguf: The file.
        architecture: Its architecture.
        config: From :func:`scorer.models.gguf.config.stated_config`.

    Raises:
        InputError: As of :func:`mlx_names`.
    """
    tensors = {}
    for path, name in mlx_names(gguf, architecture).items():
        stored = gguf.tensors[name]
        tensors[path] = Tensor(stored.type.name, stored.shape, stored.bytes)
    return WeightLayout(config, tensors, tensors, {}, None, frozenset())


def gguf_precision(gguf: GGUFFile, architecture: Architecture) -> WeightPrecision:
    """In what precision a file stores the weights.

    Raises:
        InputError: As of :func:`mlx_names`.
    """
    layout = layout_of(gguf, architecture, {})
    formats: dict[str, tuple[WeightFormat, str]] = {}
    elements: dict[str, int] = {}
    for path, name in mlx_names(gguf, architecture).items():
        kind = gguf.tensors[name].type
        if kind.is_quantized:
            layer = path.rpartition(".")[0]
            formats[layer] = (WeightFormat(kind.name, kind.bits, kind.group_size), _SCALES)
            elements[layer] = gguf.tensors[name].elements
    embedding, head = (formats[path][0] if path in formats else None for path in (EMBEDDING, HEAD))
    tied = not has_head(gguf)
    return WeightPrecision(
        quantized=quantized_layers(formats, elements),
        unquantized=unquantized(layout, formats),
        embedding=embedding,
        head=embedding if tied else head,
        tied=tied,
        parameters=parameters_of(layout.tensors, elements),
        stored_bytes=gguf.stored_bytes,
        loaded_bytes=gguf.stored_bytes,
    )
