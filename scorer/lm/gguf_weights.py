"""The weights of a GGUF file, dequantized, in mlx-lm's module of the reference.

The package ``gguf`` dequantizes to float32. On the CPU everything is computed in float32, so that
nothing is lost on the way. On a GPU the values are rounded to the dtype that the reference computes
in: both then differ by their weights and not by their arithmetic. llama.cpp too dequantizes to
16 bit on a GPU where it multiplies with dense matrices. Its products with codes, which round the
activations to 8 bit, are not computed here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from scorer.common.error_text import first_line
from scorer.common.errors import InputError
from scorer.common.install_command import install_command
from scorer.common.regular_files import open_regular
from scorer.device.backend import Backend
from scorer.lm.load import LoadedModel, prepared_for
from scorer.lm.skeleton import build_skeleton
from scorer.models.gguf.config import size_stated
from scorer.models.gguf.header import HINT, StoredTensor
from scorer.models.gguf.precision import mlx_names
from scorer.models.gguf.same_model import GGUFWeights, require_gguf_package

# Elements that are dequantized at a time: what the package keeps of them meanwhile is several times
# as large.
_ELEMENTS = 1 << 22


def load_gguf(folder: Path, weights: GGUFWeights, backend: Backend, dtype: str) -> LoadedModel:
    """Load the reference's module with the weights of a GGUF file.

    Args:
        folder: The reference's folder.
        weights: The file, checked against the reference.
        backend: The device.
        dtype: What the reference computes in on a GPU, such as ``bfloat16``.

    Returns:
        The model. Its bytes and bits per weight are those of the file.

    Raises:
        InputError: The file cannot be read, or the package ``gguf`` is not installed or does not
            dequantize a type; or the weights do not fill the module.
    """
    require_gguf_package()
    module = build_skeleton(folder, dict(weights.config), allow_custom_code=False)
    target = mx.float32 if backend.kind == "cpu" else getattr(mx, dtype)
    _fill(module, dict(_tensors(weights, target)), weights.file.name)
    model = prepared_for(module, dict(weights.config), backend, ())
    return dataclasses.replace(
        model,
        dequantized=weights.precision.is_quantized,
        weight_bytes=weights.precision.loaded_bytes,
        bits_per_weight=weights.precision.bits_per_weight,
    )


def _fill(module: nn.Module, tensors: dict[str, mx.array], name: str) -> None:
    try:
        if hasattr(module, "sanitize"):
            tensors = module.sanitize(tensors)
        module.load_weights(list(tensors.items()), strict=True)
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:
        raise InputError(
            f"`{name}` does not fill the reference's module: {first_line(error)}", HINT
        ) from error


def _tensors(weights: GGUFWeights, dtype: mx.Dtype) -> Iterator[tuple[str, mx.array]]:
    """mlx-lm's names and dequantized values, each evaluated before the next is read."""
    file, architecture = weights.file, weights.architecture
    heads = size_stated(file, "attention.head_count")
    kv_heads = size_stated(file, "attention.head_count_kv", heads)
    for path, name in mlx_names(file, architecture).items():
        values = dequantized(file.tensors[name])
        if weights.moved_rows and ".attn_q." in name:
            values = unpermuted(values, heads)
        elif weights.moved_rows and ".attn_k." in name:
            values = unpermuted(values, kv_heads)
        if architecture.norms_from_one and path.endswith("norm.weight"):
            values = values - np.float32(1)
        array = mx.array(values).astype(dtype)
        mx.eval(array)
        # Before the next tensor is read: the largest has a gigabyte.
        del values
        yield path, array


def dequantized(tensor: StoredTensor) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The values of a tensor, float32, in its shape.

    Args:
        tensor: A tensor of a file.

    Raises:
        InputError: It cannot be read, or the installed package cannot be imported or does not
            dequantize its type.
    """
    try:
        from gguf.constants import GGMLQuantizationType
        from gguf.quants import dequantize
    except ImportError as error:
        # Another folder called gguf, or one of its own packages is not there.
        raise InputError(
            f"the installed package gguf cannot be imported: {first_line(error)}",
            install_command("qfid[gguf]"),
        ) from error
    kind = tensor.type
    width = tensor.shape[-1]
    rows = tensor.elements // width
    row_bytes = width // kind.block_elements * kind.block_bytes
    found = np.empty((rows, width), np.float32)
    at_once = max(1, _ELEMENTS // width)
    try:
        with open_regular(tensor.file) as stream:
            stream.seek(tensor.start)
            for first in range(0, rows, at_once):
                count = min(at_once, rows - first)
                block = np.frombuffer(stream.read(count * row_bytes), np.uint8)
                if block.size != count * row_bytes:
                    raise InputError(f"`{tensor.file.name}` ends in the tensor {tensor.name}", HINT)
                found[first : first + count] = dequantize(
                    block.reshape(count, row_bytes), GGMLQuantizationType(kind.number)
                )
    except OSError as error:
        raise InputError(f"`{tensor.file}` cannot be read: {error.strerror or error}", "") from None
    except (NotImplementedError, ValueError) as error:
        raise InputError(
            f"the installed package gguf does not dequantize {kind.name}: {first_line(error)}",
            "install its newest version",
        ) from error
    return found.reshape(tensor.shape)


def unpermuted(
    values: np.ndarray[Any, np.dtype[np.float32]], heads: int
) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Rows of queries or keys in mlx-lm's order.

    llama.cpp turns rows 2i and 2i + 1 of a head together, mlx-lm rows i and i + half a head.

    Args:
        values: (heads · D, …), in llama.cpp's order.
        heads: Heads of it.

    Returns:
        The same shape.

    Source: the inverse of ``LlamaModel.permute`` of llama.cpp's ``convert_hf_to_gguf.py``.
    """
    halves = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2)).reshape(values.shape)
