"""The kernels that MLX compiles on CUDA for a model's forward pass, as far as they are known.

Of what MLX compiles at its first use a Llama needs two kernels: rows of the embedding, and its
activation. Quantized weights need one more for each width.
"""

from __future__ import annotations

import contextlib
import importlib.util
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scorer.common.errors import InputError
from scorer.device.kernel_tasks import KernelTask
from scorer.models.info import ModelInfo
from scorer.models.stated_quantization import stated_quantization
from scorer.spec.weight_format import WeightFormat, weight_format

# Rows of x from which on MLX takes its kernel for many.
_ROWS = 64


def model_tasks(info: ModelInfo, config: dict[str, Any], dtype: str) -> Iterator[KernelTask]:
    """Tasks of a model.

    Args:
        info: The model.
        config: Its ``config.json``, as JSON values.
        dtype: Dtype of its floating-point weights, such as ``bfloat16``.
    """
    yield KernelTask("embedding", "take", dtype)
    if info.custom_code is None and _uses_swiglu(info.architecture):
        yield KernelTask("activation", "swiglu", dtype)
    yield from weights_tasks(config, dtype, stored_formats(config, info.path))


def stored_formats(config: dict[str, Any], folder: Path) -> list[WeightFormat]:
    """The formats in which mlx-lm has stored the weights of a model, by its files.

    Layers may have formats of their own. What cannot be read, and what MLX has no format for, is
    left out: it is compiled at its first use.

    Args:
        config: Its ``config.json``, as JSON values.
        folder: Its folder.
    """
    stated = None
    with contextlib.suppress(InputError):
        stated = stated_quantization(config, folder)
    if stated is None or stated.method != "mlx":
        return []
    found: list[WeightFormat] = []
    for one in filter(None, (stated.base, *stated.layers.values())):
        with contextlib.suppress(InputError):
            found.append(weight_format(one.mode, one.bits, one.group_size))
    return list(dict.fromkeys(found))


def weights_tasks(
    config: dict[str, Any], dtype: str, formats: Sequence[WeightFormat]
) -> Iterator[KernelTask]:
    """Tasks of weights in some formats.

    Args:
        config: The ``config.json`` of their model, as JSON values.
        dtype: As of :func:`model_tasks`.
        formats: The formats.
    """
    part = config.get("text_config") or config
    rows, columns = part.get("intermediate_size"), part.get("hidden_size")
    if formats:
        yield KernelTask("quantized embedding", "take", "uint32")
    for stored in formats:
        if isinstance(rows, int) and isinstance(columns, int) and not columns % stored.group_size:
            yield KernelTask(
                f"{stored.short.replace(' ', '-')} weights",
                "quantized_matmul",
                dtype,
                x=(1, _ROWS, columns),
                matrix=(rows, columns),
                transpose=True,
                bits=stored.bits,
                group_size=stored.group_size,
                mode=stored.mode,
            )


def _uses_swiglu(architecture: str) -> bool:
    """Whether mlx-lm's file of an architecture names the activation; the file is not imported."""
    package = importlib.util.find_spec("mlx_lm")
    for folder in (package and package.submodule_search_locations) or ():
        try:
            source = Path(folder, "models", f"{architecture}.py").read_text(encoding="utf-8")
        except OSError:
            continue
        return "import swiglu" in source
    return False
