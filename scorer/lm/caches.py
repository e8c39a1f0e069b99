"""The caches of an mlx-lm model: walked, replaced, copied and cut."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx_lm.models import cache as mlx_lm_cache


class OwnCache(ABC):
    """A cache of ours that stands in for one of mlx-lm's and attends by itself.

    Attributes:
        offset: Tokens held.
    """

    offset: int

    @property
    @abstractmethod
    def attends(self) -> bool:
        """Whether :meth:`attend` is to be asked now, or mlx-lm's attention does."""

    @abstractmethod
    def attend(
        self, queries: mx.array, keys: Any, values: Any, scale: float, mask: Any, sinks: Any
    ) -> mx.array:
        """Attention over what the cache holds.

        Args:
            queries: (B, Hq, L, Dk) in the compute dtype, unscaled.
            keys: What the cache's ``update_and_fetch`` returned for the keys.
            values: Likewise for the values.
            scale: Factor on the scores.
            mask: None, ``"causal"``, or an array that broadcasts to (B, Hq, L, T): bool, or
                additive in the compute dtype.
            sinks: (Hq,) scores of attention sinks in the compute dtype, or None.

        Returns:
            (B, Hq, L, Dv) in the dtype of the queries.
        """


@dataclass(frozen=True, slots=True)
class LayerCache:
    """One elementary cache and where it stands.

    Attributes:
        index: Place in the model's list of caches; ``(index, part)`` inside a composite cache.
        cache: The cache itself.
    """

    index: tuple[int, ...]
    cache: Any

    @property
    def label(self) -> str:
        """The place as text: ``3``, or ``3.1`` inside a composite cache."""
        return ".".join(map(str, self.index))


def walk(caches: list[Any]) -> Iterator[LayerCache]:
    """Every elementary cache of a list, composite caches opened."""
    for index, cache in enumerate(caches):
        if isinstance(cache, mlx_lm_cache.CacheList):
            for part, inner in enumerate(cache.caches):
                yield LayerCache((index, part), inner)
        else:
            yield LayerCache((index,), cache)


_HOLDS_KV = tuple(
    getattr(mlx_lm_cache, name)
    for name in ("KVCache", "RotatingKVCache", "ChunkedKVCache", "ConcatenateKVCache")
    if hasattr(mlx_lm_cache, name)
)


def holds_kv(cache: Any) -> bool:
    """Whether this is a cache of keys and values that can be quantized."""
    return isinstance(cache, (*_HOLDS_KV, OwnCache, mlx_lm_cache.QuantizedKVCache))


def is_filled(cache: Any) -> bool:
    """Whether a cache of keys and values holds any.

    Some models make a cache for a layer that never fills it.
    """
    if isinstance(cache, OwnCache):
        return cache.offset > 0
    return cache.keys is not None


def filled_labels(caches: list[Any]) -> tuple[str, ...]:
    """Labels of the caches that hold any keys and values, in the order of a geometry's layers."""
    return tuple(
        entry.label for entry in walk(caches) if holds_kv(entry.cache) and is_filled(entry.cache)
    )


def replace_caches(caches: list[Any], make: Callable[[LayerCache], Any]) -> list[Any]:
    """The list with every cache of keys and values replaced by what ``make`` gives for it."""

    def replaced(entry: LayerCache) -> Any:
        return make(entry) if holds_kv(entry.cache) else entry.cache

    found = []
    for index, cache in enumerate(caches):
        if isinstance(cache, mlx_lm_cache.CacheList):
            parts = (replaced(LayerCache((index, n), c)) for n, c in enumerate(cache.caches))
            found.append(mlx_lm_cache.CacheList(*parts))
        else:
            found.append(replaced(LayerCache((index,), cache)))
    return found


def fresh_caches(model: Any) -> list[Any]:
    """The caches the model itself makes, empty."""
    caches: list[Any] = mlx_lm_cache.make_prompt_cache(model)
    return caches


def can_be_cut(caches: list[Any]) -> bool:
    """Whether all of them hold every token they were given."""
    return all(type(cache) is mlx_lm_cache.KVCache for cache in caches)


def cut(cache: Any, tokens: int) -> Any:
    """A plain cache of the first tokens; one that was never filled stays empty."""
    new = mlx_lm_cache.KVCache()
    if cache.keys is not None:
        new.keys, new.values = cache.keys[..., :tokens, :], cache.values[..., :tokens, :]
        new.offset = tokens
    return new


def cloned(cache: Any) -> Any:
    """A cache of the same class and content: writing to one leaves the other as it is."""
    if isinstance(cache, mlx_lm_cache.CacheList):
        return mlx_lm_cache.CacheList(*(cloned(part) for part in cache.caches))
    kind: Any = type(cache)
    new = kind.__new__(kind)
    new.__dict__.update({name: _copied(value) for name, value in cache.__dict__.items()})
    return new


def _copied(value: Any) -> Any:
    if isinstance(value, mx.array):
        # Assigning to a slice of an array changes the object; its memory is shared until then.
        return value[...]
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value
