"""Functions built on ``exp`` in NumPy for the CPU device, where MLX's are scalar.

Each gives None for arguments it leaves to MLX. Blocks of some ten thousand elements stay in the
processor's cache between one step and the next.
"""

from __future__ import annotations

from collections.abc import Callable

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.device.host_views import host_view, new_array
from scorer.device.threads import run_each

Values = NDArray[np.float32]

_BLOCK = 16_384
_CUBE = np.float32(0.044715)
_SQRT_2_OVER_PI = np.float32(np.sqrt(2 / np.pi))


def silu(x: mx.array) -> mx.array | None:
    """Swish, x · sigmoid(x), of x (…) float32; the result has its shape and dtype."""
    return _elementwise(_silu, x)


def swiglu(gate: mx.array, x: mx.array) -> mx.array | None:
    """Gated swish, silu(gate) · x, of arrays (…) float32 of one shape, which the result has."""
    return _elementwise(_swiglu, gate, x)


def sigmoid(x: mx.array) -> mx.array | None:
    """1 / (1 + exp(−x)) of x (…) float32; the result has its shape and dtype."""
    return _elementwise(_sigmoid, x)


def tanh(x: mx.array) -> mx.array | None:
    """Hyperbolic tangent of x (…) float32; the result has its shape and dtype."""
    return _elementwise(lambda out, x: np.tanh(x, out=out), x)


def gelu_approx(x: mx.array) -> mx.array | None:
    """½ x (1 + tanh(√(2/π) (x + 0.044715 x³))) of x (…) float32, in its shape and dtype."""
    return _elementwise(_gelu_approx, x)


def softmax(x: mx.array) -> mx.array | None:
    """Softmax over the last axis of x (…, N) float32; the result has its shape and dtype."""
    if x.dtype != mx.float32 or x.ndim == 0 or x.size == 0:
        return None
    width = x.shape[-1]
    given = mx.contiguous(x)
    array, memory = new_array(x.shape, given)
    source = host_view(given).reshape(-1, width)
    target = memory.reshape(-1, width)
    step = max(1, _BLOCK // width)

    def rows(start: int) -> None:
        block = target[start : start + step]
        with np.errstate(all="ignore"):
            own = source[start : start + step]
            np.subtract(own, own.max(axis=-1, keepdims=True), out=block)
            np.exp(block, out=block)
            block /= block.sum(axis=-1, keepdims=True)

    run_each(rows, range(0, len(source), step), source.size)
    return array


def _elementwise(function: Callable[..., object], *inputs: mx.array) -> mx.array | None:
    """Apply ``function(out, *blocks)`` block by block to arrays (…) float32 of one shape."""
    shape = inputs[0].shape
    if any(not isinstance(x, mx.array) or x.dtype != mx.float32 for x in inputs):
        return None
    if any(x.shape != shape for x in inputs) or inputs[0].size == 0:
        return None
    sources = [mx.contiguous(x) for x in inputs]
    array, memory = new_array(shape, *sources)
    flat = [host_view(x).reshape(-1) for x in sources]
    target = memory.reshape(-1)

    def block(start: int) -> None:
        part = slice(start, start + _BLOCK)
        with np.errstate(all="ignore"):
            function(target[part], *(x[part] for x in flat))

    run_each(block, range(0, len(target), _BLOCK), len(target))
    return array


def _sigmoid(out: Values, x: Values) -> None:
    """Sigmoid of x (N,) float32, into ``out``."""
    # exp of a large number is infinite and its inverse 0: no branch is needed.
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += np.float32(1)
    np.reciprocal(out, out=out)


def _silu(out: Values, x: Values) -> None:
    """Swish of x (N,) float32, into ``out``."""
    np.negative(x, out=out)
    np.exp(out, out=out)
    out += np.float32(1)
    np.divide(x, out, out=out)


def _swiglu(out: Values, gate: Values, x: Values) -> None:
    """Gated swish of gate and x, (N,) float32, into ``out``."""
    _silu(out, gate)
    out *= x


def _gelu_approx(out: Values, x: Values) -> None:
    """GELU by tanh of x (N,) float32, into ``out``."""
    np.square(x, out=out)
    out *= _CUBE
    out += np.float32(1)
    out *= x
    out *= _SQRT_2_OVER_PI
    np.tanh(out, out=out)
    out += np.float32(1)
    out *= x
    out *= np.float32(0.5)
