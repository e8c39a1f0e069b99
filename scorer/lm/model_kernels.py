"""The kernels that MLX compiles on CUDA for a model's forward pass, as far as they are known.

Of what MLX compiles at its first use a Llama needs two kernels: rows of the embedding, and its
activation. Quantized weights need one more for each width.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scorer.device.kernel_tasks import KernelTask
from scorer.models.info import ModelInfo

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
    quantization = config.get("quantization")
    if isinstance(quantization, dict):
        yield KernelTask("quantized embedding", "take", "uint32")
        part = config.get("text_config") or config
        rows, columns = part.get("intermediate_size"), part.get("hidden_size")
        bits, group = quantization.get("bits"), quantization.get("group_size")
        if (
            isinstance(rows, int)
            and isinstance(columns, int)
            and isinstance(bits, int)
            and isinstance(group, int)
        ):
            yield KernelTask(
                f"{bits}-bit weights",
                "quantized_matmul",
                dtype,
                x=(1, _ROWS, columns),
                matrix=(rows, columns),
                transpose=True,
                bits=bits,
                group_size=group,
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
