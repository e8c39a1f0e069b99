"""The tensors of a model's weight files as mlx-lm loads them, from the headers alone."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.models.architecture_source import argument_defaults
from scorer.models.architectures import architecture_of
from scorer.models.config_geometry import layer_count, text_config
from scorer.models.weight_files import described, tensors_of, weight_paths

FLOATS = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}
"""safetensors' names of floating-point dtypes, and MLX's."""

BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "U8": 1, "I8": 1}
"""Bytes of an element."""

# Parts of multimodal models for images and audio, of speculative decoding, and constants.
_NOT_LOADED = re.compile(
    r"vision_tower|vision_model|visual\.|audio_tower|multi_modal_projector|(^|\.)mtp\."
    r"|rotary_emb\.inv_freq$|\.masked_bias$"
)
_LAYER = re.compile(r"(?:^|\.)(?:layers|h|blocks)\.(\d+)\.")

HEAD = re.compile(r"(?:^|\.)lm_head\.[a-z_]+$")
"""Names of the tensors of an output head."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a weight file.

    Attributes:
        dtype: Its dtype as safetensors names it, such as ``BF16``.
        shape: Its shape.
        bytes: Its bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    bytes: int

    @property
    def elements(self) -> int:
        """Number of elements."""
        return math.prod(self.shape)

    @property
    def rows(self) -> int:
        """Rows of the matrix; of all matrices, where several are stacked."""
        return math.prod(self.shape[:-1])

    def cast(self, dtype: str) -> Tensor:
        """The same tensor in another dtype."""
        return dataclasses.replace(self, dtype=dtype, bytes=self.elements * BYTES[dtype])


Tensors = Mapping[str, Tensor]
"""Tensors by name."""


def stored_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a folder's ``model*.safetensors``.

    Raises:
        InputError: A file cannot be read, or its header is none.
    """
    found: dict[str, Tensor] = {}
    try:
        paths = weight_paths(folder)
    except OSError as error:
        raise InputError(f"`{folder}` cannot be read: {error.strerror or error}", "") from None
    for path in paths:
        for name, description in tensors_of(path).items():
            start, stop, shape, dtype = described(path, description)
            found[name] = Tensor(dtype, tuple(shape), stop - start)
    return found


def loaded_tensors(stored: Tensors, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of those that mlx-lm does not drop.

    It drops parts of other tasks than text, layers beyond those that the config counts, and an
    output head where the token embedding serves as one.

    Args:
        stored: As of :func:`stored_tensors`.
        config: The whole of ``config.json``.
    """
    layers = layer_count(dict(config))
    tied = is_tied(config)
    found: dict[str, Tensor] = {}
    for name, tensor in stored.items():
        layer = _LAYER.search(name)
        beyond = layer is not None and layers is not None and int(layer[1]) >= layers
        mask = name.endswith(".attn.bias") and len(tensor.shape) == 4
        head = tied and HEAD.search(name) is not None
        if not (_NOT_LOADED.search(name) or beyond or mask or head):
            found[name] = tensor
    return found


def is_tied(config: Mapping[str, Any]) -> bool:
    """Whether the token embedding serves as the output head.

    The config says it, or else the class of mlx-lm. A class that does not ask is not tied.
    """
    for part in (text_config(dict(config)).data, config):
        if isinstance(stated := part.get("tie_word_embeddings"), bool):
            return stated
    try:
        defaults = argument_defaults(architecture_of(dict(config))) or {}
    except InputError:
        return False
    return defaults.get("tie_word_embeddings") is True
