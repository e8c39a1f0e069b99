"""What is said of a config that mlx-lm's classes do not take whole."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from scorer.lm.build_patches import arguments_recorded
from scorer.lm.model_arguments import Arguments
from scorer.lm.unused_config import unused_values


def built(config: dict[str, Any], module: str | None = None) -> tuple[nn.Module, list[Arguments]]:
    """mlx-lm's module of a config, and what its classes of arguments took."""
    source = importlib.import_module(f"mlx_lm.models.{module or config['model_type']}")
    with arguments_recorded() as made, contextlib.redirect_stdout(io.StringIO()):
        model = source.Model(source.ModelArgs.from_dict(json.loads(json.dumps(config))))
    model.eval()
    return model, made


def alarms(config: dict[str, Any], module: str | None = None) -> dict[str, tuple[Any, str]]:
    """Key to stated and used value, of each value that the module does not use."""
    model, made = built(config, module)
    # Not evaluated: values are read while the graph is built.
    model(mx.zeros((1, 4), mx.int32))
    return {each.key: (each.stated, each.used) for each in unused_values(made, model)}
