"""A model's modules once more, over the same arrays.

A pass replaces the body of its own module, and a few architectures keep something of a pass in
theirs. So a thread that runs a model beside another needs modules of its own; weights it does not.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import mlx.core as mx
import mlx.nn as nn


def copied_module(module: nn.Module) -> nn.Module:
    """Copy a module and all modules in it; the arrays are shared.

    What is lazy is evaluated first: a thread cannot compute what another has begun.
    """
    copies: dict[int, Any] = {}
    arrays: list[mx.array] = []
    copy: nn.Module = _copied(module, copies, arrays)
    mx.eval(arrays)
    return copy


def _copied(value: Any, copies: dict[int, Any], arrays: list[mx.array]) -> Any:
    """Copy modules, and what holds some; everything else stays as it is."""
    if isinstance(value, mx.array):
        arrays.append(value)
        return value
    if id(value) in copies:
        return copies[id(value)]
    if isinstance(value, nn.Module):
        kind: Any = type(value)
        new = copies[id(value)] = kind.__new__(kind)
        # nn.Module is a dict; its __setattr__ would sort the two kinds of attributes anew.
        for name, item in dict.items(value):
            dict.__setitem__(new, name, _copied(item, copies, arrays))
        for name, item in vars(value).items():
            vars(new)[name] = _copied(item, copies, arrays)
        return new
    if type(value) in (list, tuple):
        return type(value)(_copied(item, copies, arrays) for item in value)
    if type(value) is dict:
        return {name: _copied(item, copies, arrays) for name, item in value.items()}
    if isinstance(value, types.MethodType):
        return types.MethodType(value.__func__, _copied(value.__self__, copies, arrays))
    if isinstance(value, functools.partial):
        parts = _copied((value.func, value.args, value.keywords), copies, arrays)
        return functools.partial(parts[0], *parts[1], **parts[2])
    return value
