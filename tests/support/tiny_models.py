"""Tiny random models of mlx-lm's architectures, written as a model repo has them."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_flatten, tree_map_with_path
from tiny_configs import tiny_config
from tiny_tokenizers import byte_level, write_model

TEXT = "".join(
    f"The {word} of entry {i} is {i * i % 89}, and {word}s are kept in order {i % 7}.\n"
    for i in range(24)
    for word in ("number", "name", "weight", "height")
)
"""About five thousand bytes, a token each."""

SMALL: dict[str, Any] = {"head_dim": 64, "num_hidden_layers": 2}
"""Changes of a llama's config that make the model of the fixture ``small``."""


def build_module(config: dict[str, Any], seed: int = 0) -> nn.Module:
    """mlx-lm's model of a config with random weights, none of them left at zero or one.

    Matrices are normal with standard deviation 1/√fan-in; what mlx-lm initialises to a constant
    (biases, norms, gates, sinks) gets noise on top, so that no path through the model is shut.
    """
    mx.random.seed(seed)
    module = importlib.import_module(f"mlx_lm.models.{config['model_type']}")
    model: nn.Module = module.Model(module.ModelArgs.from_dict(json.loads(json.dumps(config))))
    rng = np.random.default_rng(seed)

    def randomised(path: str, value: mx.array) -> mx.array:
        if not mx.issubdtype(value.dtype, mx.floating):
            return value
        noise = rng.standard_normal(value.shape).astype(np.float32)
        start = np.array(value.astype(mx.float32))
        if value.ndim >= 2 and "conv" not in path and "A_log" not in path:
            return mx.array(noise / np.sqrt(value.shape[-1])).astype(value.dtype)
        return mx.array(start + 0.1 * noise).astype(value.dtype)

    model.update(tree_map_with_path(randomised, model.parameters()))
    mx.eval(model.parameters())
    return model


def write_tiny_model(
    folder: Path, architecture: str, *, bits: int | None = None, seed: int = 0, **changes: Any
) -> Path:
    """A model folder: config, weights in safetensors, a tokenizer of one token a byte.

    Args:
        folder: Where; made if it is missing.
        architecture: Module name in ``mlx_lm.models``.
        bits: Quantize the weights to this width, in groups of 32.
        seed: Of the weights.
        changes: Values of the config that replace the table's.
    """
    config = tiny_config(architecture, **changes)
    model = build_module(config, seed)
    if bits is not None:
        nn.quantize(model, 32, bits, class_predicate=_divides)
        config["quantization"] = {"group_size": 32, "bits": bits}
    # Without the class, transformers takes that of the architecture, which may want `<unk>`.
    write_model(folder, byte_level(), tokenizer_class="PreTrainedTokenizerFast")
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    weights = dict(tree_flatten(model.parameters()))
    mx.save_safetensors(str(folder / "model.safetensors"), weights, {"format": "mlx"})
    return folder


def _divides(_: str, module: nn.Module) -> bool:
    return hasattr(module, "to_quantized") and module["weight"].shape[-1] % 32 == 0


def write_text(folder: Path) -> Path:
    """A text long enough for a dozen chunks of some hundred tokens."""
    path = folder / "text.txt"
    path.write_text(TEXT, "utf-8")
    return path
