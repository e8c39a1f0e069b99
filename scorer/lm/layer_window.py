"""A forward pass given to a GPU layer by layer, and no further ahead of it than a few layers.

MLX computes nothing before the whole graph of a pass is built, then queues all of it: the device
stands still at first, and the activations of every queued layer are held at once, gigabytes where
one layer takes some hundred megabytes (measured on an H100: 7 GiB for 4 096 tokens of a 1B model).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import mlx.core as mx
from mlx.utils import tree_flatten

from scorer.device.dispatch import dispatch, wait
from scorer.lm.caches import walk

_UPDATE = "update_and_fetch"


@contextmanager
def layer_window(caches: list[Any], layers: int) -> Iterator[None]:
    """Dispatch each layer as soon as its cache is updated, then wait for the one ``layers`` before.

    What is dispatched are the arrays that the cache returns: keys and values (B, Hkv, T, D) in the
    compute dtype, or their codes uint32, scales and biases.

    Args:
        caches: What the pass fills; layers without keys and values go with the next that has them.
        layers: Layers that may be queued; 0 leaves the pass to MLX as a whole.
    """
    if not layers:
        yield
        return
    queued: deque[list[mx.array]] = deque()

    def given(arrays: list[mx.array]) -> None:
        dispatch(*arrays)
        queued.append(arrays)
        if len(queued) > layers:
            wait(*queued.popleft())

    with ExitStack() as hooks:
        for layer in walk(caches):
            if hasattr(layer.cache, _UPDATE):
                hooks.enter_context(_hooked(layer.cache, given))
        yield


@contextmanager
def _hooked(cache: Any, given: Callable[[list[mx.array]], None]) -> Iterator[None]:
    """Call ``given`` with the arrays that a cache returns, see :func:`layer_window`.

    The hook is an attribute of the instance; its class is unchanged.
    """
    own = vars(cache).get(_UPDATE)
    update = getattr(cache, _UPDATE)

    def update_and_fetch(*args: Any, **kwargs: Any) -> Any:
        found = update(*args, **kwargs)
        given([array for _, array in tree_flatten(found) if isinstance(array, mx.array)])
        return found

    setattr(cache, _UPDATE, update_and_fetch)
    try:
        yield
    finally:
        if own is None:
            delattr(cache, _UPDATE)
        else:
            setattr(cache, _UPDATE, own)
