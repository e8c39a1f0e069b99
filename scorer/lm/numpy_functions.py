"""The NumPy functions that take the place of MLX's while a model runs on the CPU.

Models look these functions up by name at each call, so they are replaced for the time of a
forward pass, reference and candidates alike.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scorer.device.cpu_arithmetic import NUMPY


@contextmanager
def applied(arithmetic: str) -> Iterator[None]:
    """Let models compute with ``numpy`` or ``mlx`` inside the block."""
    if arithmetic == NUMPY:
        with numpy_functions():
            yield
    else:
        yield


@contextmanager
def numpy_functions() -> Iterator[None]:
    """Replace MLX's functions by those in NumPy, which pass on what they do not cover.

    ``mx.compile`` has to be off: it would trace them.
    """
    import mlx.core as mx
    import mlx.nn as nn
    from mlx_lm.models import activations

    from scorer.device.threads import single_threaded_numpy_blas
    from scorer.lanes.kv.caches import Side
    from scorer.lm.cpu import activation as cpu_activation

    places: list[tuple[Any, str, Any]] = [
        (mx.fast, "scaled_dot_product_attention", _attention(mx.fast.scaled_dot_product_attention)),
        (mx, "softmax", _softmax(mx.softmax)),
        (mx, "sigmoid", _or(cpu_activation.sigmoid, mx.sigmoid)),
        (mx, "tanh", _or(cpu_activation.tanh, mx.tanh)),
        (nn.Linear, "__call__", _layer(nn.Linear.__call__)),
        (nn.Embedding, "as_linear", _layer(nn.Embedding.as_linear)),
        (Side, "restored", _restored(Side.restored)),
    ]
    for owner in (nn, sys.modules["mlx.nn.layers.activations"]):
        places += [
            (owner, "silu", _or(cpu_activation.silu, nn.silu)),
            (owner, "gelu_approx", _or(cpu_activation.gelu_approx, nn.gelu_approx)),
        ]
    # Model files import this one by name.
    swiglu = _or(cpu_activation.swiglu, activations.swiglu)
    for name, module in list(sys.modules.items()):
        if name.startswith("mlx_lm.models.") or name == "custom_model":
            if getattr(module, "swiglu", None) is activations.swiglu:
                places.append((module, "swiglu", swiglu))
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in places]
    with single_threaded_numpy_blas():
        try:
            for owner, name, function in places:
                setattr(owner, name, function)
            yield
        finally:
            for owner, name, function in originals:
                setattr(owner, name, function)


def _or(fast: Callable[..., Any], original: Any) -> Callable[..., Any]:
    """``fast`` where it covers the arguments, else the original."""

    def call(*arguments: Any, **options: Any) -> Any:
        found = None if options else fast(*arguments)
        return original(*arguments, **options) if found is None else found

    return call


def _layer(original: Any) -> Callable[..., Any]:
    from scorer.lm.cpu.linear import linear

    def call(self: Any, x: Any) -> Any:
        found = linear(x, self["weight"], self.get("bias"))
        return original(self, x) if found is None else found

    return call


def _restored(original: Any) -> Callable[..., Any]:
    from scorer.quantizers.affine_numpy import round_trip

    def call(self: Any, x: Any) -> Any:
        found = round_trip(x, self.bits, self.group_size)
        return original(self, x) if found is None else found

    return call


def _softmax(original: Any) -> Callable[..., Any]:
    from scorer.lm.cpu.activation import softmax

    def call(a: Any, /, axis: Any = None, **options: Any) -> Any:
        found = None
        if axis in (-1, a.ndim - 1) and options.get("stream") is None:
            found = softmax(a)
        return original(a, axis=axis, **options) if found is None else found

    return call


def _attention(original: Any) -> Callable[..., Any]:
    from scorer.lm.cpu.attention import attend

    def call(q: Any, k: Any, v: Any, *, scale: float, **options: Any) -> Any:
        found = None
        if options.keys() <= {"mask", "sinks"}:
            found = attend(q, k, v, scale, options.get("mask"), options.get("sinks"))
        return original(q, k, v, scale=scale, **options) if found is None else found

    return call
