"""What is built into a module of mlx-lm, by the names and numbers in its source.

Most classes have their activation built in and drop the config's ``hidden_act``; some have other
values built in that their models' configs state.
"""

from __future__ import annotations

import inspect
import re
import sys
from functools import lru_cache
from typing import Any

# Functions of mlx-lm and of MLX, and blocks that hold one, by what they compute.
_FUNCTIONS = {
    "silu": "silu|swish|swiglu|switchglu",
    "gelu": "gelu|geglu",
    "relu": "relu",
    "relu2": "relu2|relusquared|relu_squared|squared_relu",
}
_MODULES = re.compile(r"^from \.(\w+) import .*\b(?:Model|MLP|TransformerBlock)\b", re.MULTILINE)

_NUMBER = re.compile(r"(?<![\w.])\d+(?:\.\d*)?(?:e[+-]?\d+)?(?![\w.])")


def activation_named(stated: Any) -> str | None:
    """``silu``, ``gelu``, ``relu`` or ``relu2``, whose variants differ little; None for others."""
    name = stated.lower() if isinstance(stated, str) else ""
    if name in ("silu", "swish", "swiglu"):
        return "silu"
    if name in ("relu2", "relu_squared", "squared_relu"):
        return "relu2"
    if name == "relu":
        return "relu"
    return "gelu" if name.startswith(("gelu", "geglu", "quick_gelu")) else None


@lru_cache(maxsize=256)
def activations_of(cls: type) -> frozenset[str]:
    """What the module of mlx-lm computes that a class stands in; empty where none is known."""
    text = _source(cls.__module__)
    for name in _MODULES.findall(text):
        text += _source(f"mlx_lm.models.{name}")
    return frozenset(
        kind for kind, names in _FUNCTIONS.items() if re.search(names, text, re.IGNORECASE)
    )


@lru_cache(maxsize=256)
def constants_of(cls: type) -> frozenset[float]:
    """The numbers that stand in the source of the module of mlx-lm that a class stands in."""
    return frozenset(float(number) for number in _NUMBER.findall(_source(cls.__module__)))


def _source(module: str) -> str:
    try:
        return inspect.getsource(sys.modules[module])
    except (KeyError, OSError, TypeError):
        return ""
