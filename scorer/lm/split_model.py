"""A model cut in two: its body gives final hidden states, its own tail turns them into logits.

Logits of a long chunk do not fit, final hidden states do. The body is run once; then the model is
called with its body replaced by a stand-in that returns a block of positions of those states, so
that whatever the architecture does behind the body (tied or untied head, soft-cap, scaling) is
done by the architecture itself.

A pass replaces the body of its own module, so each thread needs a module of its own; modules may
share their arrays. All else that a pass replaces is in :mod:`scorer.lm.patches`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from scorer.device.buffer_cache import free_buffers
from scorer.device.cpu_arithmetic import MLX
from scorer.lm.module_copies import copied_module
from scorer.lm.patches import body_pass, pass_options
from scorer.spec.geometry import KVGeometry

_BODY_NAMES = ("model", "transformer", "backbone")


class _BodyDone(Exception):
    """Ends a model's call once its body has run."""


class _Capture:
    """Stands in for the body: runs it, keeps what it returns and ends the call."""

    def __init__(self, inner: Any) -> None:
        self.__dict__.update(inner=inner, hidden=None)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.__dict__["hidden"] = self.inner(*args, **kwargs)
        raise _BodyDone

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)


class _Replay:
    """Stands in for the body: returns given hidden states; all else is the body's own.

    Args:
        inner: The body.
        hidden: (B, T, H) in the compute dtype.
    """

    def __init__(self, inner: Any, hidden: mx.array) -> None:
        self.__dict__.update(inner=inner, hidden=hidden)

    def __call__(self, *args: Any, **kwargs: Any) -> mx.array:
        hidden: mx.array = self.__dict__["hidden"]
        return hidden

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["inner"], name)


class SplitModel:
    """Body and tail of a model, or the whole model where the two cannot be separated.

    Attributes:
        model: The model.
        split: Whether body and tail run apart. Where not, ``hidden`` gives logits already.
        arithmetic: What computes attention and activations, see
            :mod:`scorer.device.cpu_arithmetic`.
        layers_ahead: Layers that may be queued on a GPU, see :mod:`scorer.lm.layer_window`; 0
            leaves a pass to MLX as a whole.
        kv_labels: Labels of the caches that the model fills, in the order of its geometry, see
            :func:`scorer.lm.caches.filled_labels`; None until the geometry is measured.
        geometry: That geometry.
    """

    def __init__(self, model: nn.Module, arithmetic: str = MLX) -> None:
        self.model = model
        self.arithmetic = arithmetic
        self.layers_ahead = 0
        self.kv_labels: tuple[str, ...] | None = None
        self.geometry: KVGeometry | None = None
        self._owner, self._name = _find_body(model)
        self.split = self._name is not None

    def check(self, make_caches: Any, tokens: mx.array) -> bool:
        """Compare the two-part logits with the model's own on a few tokens.

        On any difference beyond rounding the model is used whole from then on.

        Args:
            make_caches: Gives a fresh list of caches.
            tokens: (1, T) int32, T ≥ 2.

        Returns:
            Whether body and tail run apart.
        """
        if self.split:
            with pass_options(arithmetic=self.arithmetic):
                full = self.model(tokens, cache=make_caches()).astype(mx.float32)
            try:
                hidden = self.hidden(tokens, make_caches())
                middle = tokens.shape[1] // 2
                parts = [
                    self.logits(hidden, 0, middle),
                    self.logits(hidden, middle, tokens.shape[1]),
                ]
                joined = mx.concatenate(parts, axis=1).astype(mx.float32)
                # Infinities stand at the same places or the difference is NaN, which fails.
                same = (full == joined) | (mx.abs(full - joined) <= 1e-4 + 1e-4 * mx.abs(full))
                self.split = full.shape == joined.shape and bool(same.all().item())
            except (AttributeError, TypeError, ValueError, IndexError, KeyError):
                self.split = False
        return self.split

    def hidden(self, tokens: mx.array, caches: list[Any]) -> mx.array:
        """Run the body.

        Args:
            tokens: (B, T) int32.
            caches: The caches that the pass fills.

        Returns:
            Final hidden states (B, T, H) in the compute dtype, lazy; if the model is not split,
            logits (B, T, V) in the compute dtype or float32.
        """
        options = body_pass(self.arithmetic, caches, self.layers_ahead)
        if not self.split:
            with options:
                logits: mx.array = self.model(tokens, cache=caches)
            return logits
        capture = _Capture(dict.__getitem__(self._owner, self._name))
        with self._body(capture), options:
            try:
                self.model(tokens, cache=caches)
            except _BodyDone:
                pass
        hidden: mx.array = capture.hidden
        if not isinstance(hidden, mx.array) or hidden.ndim != 3:
            raise TypeError("the body does not return hidden states")
        return hidden

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        """Logits of the positions ``[start, stop)`` of what :meth:`hidden` returned.

        Args:
            hidden: (B, T, H) in the compute dtype, or logits (B, T, V) if not split.
            start: First position.
            stop: The position after the last.

        Returns:
            (B, stop − start, V) in the compute dtype or float32, lazy.
        """
        block = hidden[:, start:stop]
        if not self.split:
            return block
        replay = _Replay(dict.__getitem__(self._owner, self._name), block)
        with self._body(replay), pass_options(arithmetic=self.arithmetic):
            logits: mx.array = self.model(mx.zeros(block.shape[:2], mx.int32))
        return logits

    def release_layers(self, probe: mx.array) -> bool:
        """Free the layers of the body; the tail goes on giving logits.

        Args:
            probe: (1, T, H) final hidden states of any tokens, to try it on first.

        Returns:
            Whether it could be done. Where the tail needs a layer everything stays as it is.
        """
        if not self.split:
            return False
        body = dict.__getitem__(self._owner, self._name)
        lists = {
            name: value
            for name, value in dict.items(body)
            if isinstance(value, list) and any(isinstance(each, nn.Module) for each in value)
        }
        if not lists:
            return False
        before = self.logits(probe, 0, probe.shape[1])
        mx.eval(before)
        for name in lists:
            dict.__setitem__(body, name, [])
        try:
            after = self.logits(probe, 0, probe.shape[1])
            same = bool(mx.array_equal(before, after, equal_nan=True).item())
        except Exception:
            same = False
        if not same:
            for name, value in lists.items():
                dict.__setitem__(body, name, value)
            return False
        for value in lists.values():
            for layer in value:
                for module in layer.modules() if isinstance(layer, nn.Module) else ():
                    module.clear()
        free_buffers()
        return True

    def copied(self) -> SplitModel:
        """The same model for another thread: modules of its own over the same arrays."""
        copy = SplitModel(copied_module(self.model), self.arithmetic)
        copy.split = self.split
        copy.layers_ahead = self.layers_ahead
        copy.kv_labels, copy.geometry = self.kv_labels, self.geometry
        return copy

    @contextmanager
    def _body(self, stand_in: Any) -> Iterator[None]:
        # nn.Module is a dict; going around its __setattr__ keeps its parameters untouched.
        inner = dict.__getitem__(self._owner, self._name)
        dict.__setitem__(self._owner, self._name, stand_in)
        try:
            yield
        finally:
            dict.__setitem__(self._owner, self._name, inner)


def _find_body(model: nn.Module) -> tuple[Any, str | None]:
    """The module that owns the body and the body's name in it."""
    owner: Any = model
    while "language_model" in owner:
        owner = owner["language_model"]
    for name in _BODY_NAMES:
        if name in owner and isinstance(owner[name], nn.Module):
            return owner, name
    return owner, None
