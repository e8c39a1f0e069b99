"""The one place where functions of MLX and mlx-lm are replaced while models are scored.

The replacements, see :func:`_table`:

========================================================  ======================================
What is replaced                                          What takes its place
========================================================  ======================================
``mx.fast.scaled_dot_product_attention``                  NumPy attention; blocks of queries
``mlx_lm.models.base.scaled_dot_product_attention``       the cache's own attention, if it has one
``mlx_lm.models.base.quantized_scaled_dot_product_…``     blocks of queries
``mx.softmax``, ``mx.sigmoid``, ``mx.tanh``               NumPy
``nn.silu``, ``nn.gelu_approx``, mlx-lm's ``swiglu``      NumPy
``nn.Linear.__call__``, ``nn.Embedding.as_linear``        NumPy
``nn.Embedding.__call__``, ``nn.QuantizedEmbedding…``     perturbed output, for the noise floor
========================================================  ======================================

They stand in place once for all threads, as long as anything is scored. What a replacement does is
chosen per thread by :class:`PassOptions`; without options it calls the original. Two more
replacements belong to one object and not to a library:
:class:`scorer.lm.split_model.SplitModel` replaces the body of its own module, and
:func:`scorer.lm.layer_window.layer_window` the update of the caches of a pass. What is replaced
while a model is built stands in :mod:`scorer.lm.build_patches`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx_lm.models import activations as mlx_lm_activations
from mlx_lm.models import base as mlx_lm_base

from scorer.common.loans import GiveBack, Loan, set_here
from scorer.device.cpu_arithmetic import MLX, NUMPY
from scorer.device.threads import single_threaded_numpy_blas
from scorer.lm import attention_blocks
from scorer.lm.caches import OwnCache
from scorer.lm.cpu import activation as cpu_activation
from scorer.lm.cpu import attention as cpu_attention
from scorer.lm.cpu import linear as cpu_linear
from scorer.lm.layer_window import layer_window

Perturbation = Callable[[nn.Module, mx.array, mx.array], mx.array]
"""Changes what an embedding table returns.

Maps table, tokens (B, T) int32 and output (B, T, H) to an output of the same shape and dtype.
"""

EMBEDDINGS: tuple[type, ...] = (nn.Embedding, nn.QuantizedEmbedding)
"""The classes of embedding tables whose output can be perturbed."""


@dataclass(frozen=True, slots=True)
class PassOptions:
    """How the current thread computes.

    Attributes:
        arithmetic: ``numpy`` or ``mlx``, see :mod:`scorer.device.cpu_arithmetic`. ``numpy`` needs
            ``mx.compile`` to be off: it would trace the functions.
        query_blocks: Whether attention goes in blocks of queries where it writes its scores out.
        perturb: What changes the output of embedding tables, or None.
    """

    arithmetic: str = MLX
    query_blocks: bool = False
    perturb: Perturbation | None = None


_NO_OPTIONS = PassOptions()
_options: ContextVar[PassOptions] = ContextVar("qfid_pass_options", default=_NO_OPTIONS)


@contextmanager
def pass_options(**changes: Any) -> Iterator[None]:
    """Compute in this thread with some of :class:`PassOptions` changed inside the block."""
    options = replace(_options.get(), **changes)
    blas = single_threaded_numpy_blas if options.arithmetic == NUMPY else nullcontext()
    with patched(), blas, set_here(_options, options):
        yield


@contextmanager
def body_pass(arithmetic: str, caches: Sequence[Any], layers_ahead: int) -> Iterator[None]:
    """What a pass through a model's body needs.

    Args:
        arithmetic: ``numpy`` or ``mlx``.
        caches: What the pass fills.
        layers_ahead: Layers that may be queued on a GPU; 0 leaves the pass to MLX as a whole.
    """
    window = layer_window(list(caches), layers_ahead)
    with pass_options(arithmetic=arithmetic, query_blocks=True), window:
        yield


# What is in place: where, under which name, the original and its replacement.
_replaced: list[tuple[Any, str, Any, Any]] = []


def _put_in_place() -> GiveBack:
    modules = _model_modules()
    try:
        for owner, name, make in _table():
            original = getattr(owner, name)
            replacement = make(original)
            for place in _holders(owner, name, original, modules):
                _replaced.append((place, name, original, replacement))
                setattr(place, name, replacement)
    except BaseException:
        _put_back()
        raise
    return _put_back


def _put_back() -> None:
    # A module imported meanwhile holds the replacement that it imported by name.
    modules = _model_modules()
    for owner, name, original, replacement in _replaced:
        if owner in (mlx_lm_base, mlx_lm_activations):
            for module in modules:
                if getattr(module, name, None) is replacement:
                    setattr(module, name, original)
    while _replaced:
        owner, name, original, replacement = _replaced.pop()
        # Another function is one that the program around us has put there meanwhile.
        if getattr(owner, name, None) is replacement:
            setattr(owner, name, original)


_in_place = Loan(_put_in_place)


@contextmanager
def patched() -> Iterator[None]:
    """Keep the replacements in place inside the block, whatever other threads do.

    Every pass enters this by itself. A caller with many passes ahead enters it around them all, so
    that they do not replace and restore each time.
    """
    with _in_place:
        yield


def _holders(owner: Any, name: str, original: Any, modules: list[ModuleType]) -> list[Any]:
    """The owner of a function, and the modules that hold it under the same name."""
    holders = [owner]
    if owner is nn:
        holders.append(sys.modules["mlx.nn.layers.activations"])
    elif owner in (mlx_lm_base, mlx_lm_activations):
        # Model files import these by name.
        holders += [m for m in modules if getattr(m, name, None) is original]
    return list({id(holder): holder for holder in holders}.values())


def _model_modules() -> list[ModuleType]:
    """The files of model architectures that are imported."""
    return [
        module
        for name, module in list(sys.modules.items())
        if name.startswith("mlx_lm.models.") or name == "custom_model"
    ]


def _table() -> list[tuple[Any, str, Callable[[Any], Any]]]:
    """What is replaced: the owner, its attribute, and what makes the replacement of it."""
    return [
        (mx.fast, "scaled_dot_product_attention", _attention),
        (mlx_lm_base, "scaled_dot_product_attention", _cache_attention),
        (mlx_lm_base, "quantized_scaled_dot_product_attention", _quantized_attention),
        (mx, "softmax", _softmax),
        (mx, "sigmoid", _activation("sigmoid")),
        (mx, "tanh", _activation("tanh")),
        (nn, "silu", _activation("silu")),
        (nn, "gelu_approx", _activation("gelu_approx")),
        (mlx_lm_activations, "swiglu", _activation("swiglu")),
        (nn.Linear, "__call__", _linear),
        (nn.Embedding, "as_linear", _linear),
        *((table, "__call__", _embedding) for table in EMBEDDINGS),
    ]


def _attention(original: Any) -> Any:
    """Makes attention of q (B, Hq, L, Dk), k (B, Hkv, T, Dk) and v (B, Hkv, T, Dv).

    All are in the compute dtype, as is the result (B, Hq, L, Dv).
    """

    def attend(
        q: mx.array, k: mx.array, v: mx.array, *, scale: float, mask: Any = None, **options: Any
    ) -> mx.array:
        chosen = _options.get()
        if chosen.arithmetic == NUMPY and options.keys() <= {"sinks"}:
            found = cpu_attention.attend(q, k, v, scale, mask, options.get("sinks"))
            if found is not None:
                return found

        def whole(q: mx.array, k: mx.array, v: mx.array, mask: Any) -> mx.array:
            out: mx.array = original(q, k, v, scale=scale, mask=mask, **options)
            return out

        if not chosen.query_blocks or attention_blocks.is_fused(q, v, mask):
            return whole(q, k, v, mask)
        return attention_blocks.in_query_blocks(whole, q, k, v, mask)

    return attend


def _cache_attention(original: Any) -> Any:
    """Makes attention of queries (B, Hq, L, Dk) over what a cache returned.

    The result is (B, Hq, L, Dv) in the dtype of the queries, see :meth:`OwnCache.attend`.
    """

    def attend(
        queries: mx.array,
        keys: Any,
        values: Any,
        cache: Any,
        scale: float,
        mask: Any = None,
        sinks: Any = None,
    ) -> mx.array:
        if isinstance(cache, OwnCache) and cache.attends:
            return cache.attend(queries, keys, values, scale, mask, sinks)
        out: mx.array = original(
            queries, keys, values, cache=cache, scale=scale, mask=mask, sinks=sinks
        )
        return out

    return attend


def _quantized_attention(original: Any) -> Any:
    """Makes attention of queries (B, Hq, L, Dk) over codes, scales and biases.

    The result is (B, Hq, L, Dv) in the dtype of the queries, see :func:`in_query_blocks`.
    """

    def attend(
        queries: mx.array,
        q_keys: Any,
        q_values: Any,
        scale: float,
        mask: Any,
        group_size: int = 64,
        bits: int = 8,
    ) -> mx.array:
        def whole(q: mx.array, k: Any, v: Any, mask: Any) -> mx.array:
            out: mx.array = original(
                q, k, v, scale=scale, mask=mask, group_size=group_size, bits=bits
            )
            return out

        if not _options.get().query_blocks:
            return whole(queries, q_keys, q_values, mask)
        return attention_blocks.in_query_blocks(whole, queries, q_keys, q_values, mask)

    return attend


def _activation(name: str) -> Callable[[Any], Any]:
    """Makes the replacement by the NumPy function of this name, for arrays (…) float32."""

    def make(original: Any) -> Any:
        def call(*arguments: Any, **options: Any) -> Any:
            found = None
            if _options.get().arithmetic == NUMPY and not options:
                found = getattr(cpu_activation, name)(*arguments)
            return original(*arguments, **options) if found is None else found

        return call

    return make


def _softmax(original: Any) -> Any:
    """Makes the replacement by NumPy's softmax, for arrays (…, N) float32."""

    def call(a: Any, /, axis: Any = None, **options: Any) -> Any:
        found = None
        if _options.get().arithmetic == NUMPY:
            if axis in (-1, a.ndim - 1) and options.get("stream") is None:
                found = cpu_activation.softmax(a)
        return original(a, axis=axis, **options) if found is None else found

    return call


def _linear(original: Any) -> Any:
    """Makes the replacement by NumPy's linear layer, x (…, K) to (…, N), for float32."""

    def call(self: Any, x: Any) -> Any:
        found = None
        if _options.get().arithmetic == NUMPY:
            found = cpu_linear.linear(x, self["weight"], self.get("bias"))
        return original(self, x) if found is None else found

    return call


def _embedding(original: Any) -> Any:
    """Makes an embedding, tokens (B, T) int32 to (B, T, H) in the compute dtype, perturbed."""

    def call(self: nn.Module, tokens: mx.array) -> mx.array:
        embedded: mx.array = original(self, tokens)
        perturb = _options.get().perturb
        return embedded if perturb is None else perturb(self, tokens, embedded)

    return call
