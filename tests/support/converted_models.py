"""Copies of a model folder in other precisions, as mlx_lm.convert writes them, and bare headers."""

from __future__ import annotations

import contextlib
import io
import json
import math
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map_with_path

from scorer.models.info import ModelInfo, describe_model

_BYTES = {"F32": 4, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "U8": 1, "F8_E4M3": 1}


def info_of(folder: Path) -> ModelInfo:
    return describe_model(folder.name, folder, None)


def convert(
    source: Path,
    to: Path,
    bits: int | None = None,
    group: int | None = None,
    mode: str = "affine",
    *,
    dtype: str | None = None,
    predicate: Callable[..., Any] | None = None,
    quantize: bool = True,
    global_scale: bool = False,
) -> Path:
    """What ``mlx_lm.convert`` writes; its own function would load transformers."""
    from mlx_lm.utils import quantize_model, save_config, save_model

    model, config = loaded(source)
    dtype = dtype or config.get("torch_dtype")
    if dtype is not None:
        cast = getattr(mx, dtype)
        chosen = getattr(model, "cast_predicate", lambda _: True)

        def as_dtype(name: str, value: mx.array) -> mx.array:
            floating = mx.issubdtype(value.dtype, mx.floating)
            return value.astype(cast) if floating and chosen(name) else value

        model.update(tree_map_with_path(as_dtype, model.parameters()))
        config["torch_dtype"] = dtype
    if quantize:
        with contextlib.redirect_stdout(io.StringIO()):
            model, config = quantize_model(
                model,
                config,
                group,
                bits,
                mode=mode,
                quant_predicate=predicate,
                global_scale=global_scale,
            )
    save_model(to, model)
    save_config(config, to / "config.json")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(source / name, to / name)
    return to


def loaded(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """A model and its config as mlx-lm loads them."""
    from mlx_lm.utils import load_model

    model, config = load_model(folder, lazy=True)
    return model, config


def edit_config(folder: Path, **changes: Any) -> Path:
    """Change keys of a folder's ``config.json``; None removes one."""
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8")) | changes
    kept = {name: value for name, value in config.items() if value is not None}
    path.write_text(json.dumps(kept), "utf-8")
    return folder


def write_headers(
    folder: Path, config: dict[str, Any], tensors: dict[str, tuple[str, tuple[int, ...]]]
) -> Path:
    """A model whose weight file is all zeros, with tensors of any dtype and shape."""
    folder.mkdir(parents=True, exist_ok=True)
    header, end = {}, 0
    for name, (dtype, shape) in tensors.items():
        size = _BYTES[dtype] * math.prod(shape)
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with (folder / "model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        file.truncate(8 + len(text) + end)
    (folder / "config.json").write_text(json.dumps(config), "utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / name).write_text("{}", "utf-8")
    return folder
