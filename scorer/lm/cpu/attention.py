"""Attention in NumPy for the CPU device, where MLX's softmax is ten times slower.

A few heads that read the same keys and one block of queries at a time: its scores stay in the
processor's cache, keys after the last one a block may read are left out, and memory does not grow
with the square of a chunk.
Equal to ``mx.fast.scaled_dot_product_attention`` up to rounding.
"""

from __future__ import annotations

from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.device.host_views import host_view, new_array
from scorer.device.threads import run_each

# Rows of a block. Fixed, so that a row's rounding does not depend on how long its chunk is.
_ROWS = 64
# Heads that are computed at once, at most: their products pack the same keys once, and fewer calls
# wait for the interpreter lock. More would leave too few items for the threads.
_HEADS = 4

Rows = NDArray[np.float32]


def attend(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    scale: float,
    mask: Any,
    sinks: mx.array | None,
) -> mx.array | None:
    """Attention of L queries over T keys.

    Args:
        queries: (B, Hq, L, Dk) float32.
        keys: (B, Hkv, T, Dk) float32; query head h reads head h // (Hq / Hkv).
        values: (B, Hkv, T, Dv) float32.
        scale: Factor on the scores.
        mask: None, ``"causal"`` (the last query stands at the last key), or a boolean or float32
            array that broadcasts to (B, Hq, L, T).
        sinks: (Hq,) float32, scores of a key without a value, or None.

    Returns:
        (B, Hq, L, Dv) float32, or None where these arguments are left to MLX: other dtypes, a
        mask under which a query may read nothing.
    """
    arrays = [queries, keys, values, *([] if sinks is None else [sinks])]
    if any(array.dtype != mx.float32 for array in arrays) or 0 in queries.shape + keys.shape:
        return None
    if isinstance(mask, mx.array):
        mx.eval(arrays, mask)
    else:
        mx.eval(arrays)
    length, total = queries.shape[2], keys.shape[2]
    if isinstance(mask, str):
        if mask != "causal" or length > total:
            return None
        visible: _Mask | None = _Mask.causal(length, total)
    elif mask is None:
        visible = None
    else:
        visible = _Mask.of(mask, (*queries.shape[:3], total))
        if visible is None:
            return None
    heads = _Heads(
        host_view(queries),
        host_view(keys),
        host_view(values),
        np.float32(scale),
        visible,
        None if sinks is None else host_view(sinks),
    )
    return heads.attended()


class _Mask:
    """What each query may read: a range of keys for a block of queries, and a mask within it."""

    def __init__(
        self, mask: NDArray[Any], first: list[int], last: list[int], *, diagonal: bool
    ) -> None:
        self._mask = mask  # True hides, a number is added; only of the diagonal, or of all keys
        self._first = first
        self._last = last
        self._diagonal = diagonal

    @classmethod
    def causal(cls, length: int, total: int) -> _Mask:
        """Query i of L reads keys up to T − L + i."""
        hidden = np.triu(np.ones((1, 1, _ROWS, _ROWS), bool), 1)
        ends = [total - length + min(row + _ROWS, length) for row in range(0, length, _ROWS)]
        return cls(hidden, [0] * len(ends), ends, diagonal=True)

    @classmethod
    def of(cls, mask: mx.array, shape: tuple[int, ...]) -> _Mask | None:
        """From an array.

        Args:
            mask: Broadcasts to ``shape``; bool, or float32 that is added.
            shape: (B, Hq, L, T).

        Returns:
            The mask; None for another dtype or shape, or where a query may read nothing.
        """
        if mask.dtype == mx.bool_:
            allowed = host_view(mask)
            own = ~allowed
        elif mask.dtype == mx.float32:
            own = host_view(mask)
            allowed = own > np.finfo(np.float32).min
        else:
            return None
        while own.ndim < 4:
            own, allowed = own[None], allowed[None]
        if any(have not in (1, want) for have, want in zip(own.shape[:3], shape, strict=False)):
            return None
        if own.shape[3] != shape[3] or not allowed.any(axis=-1).all():
            return None
        own = np.broadcast_to(own, shape)
        columns = np.broadcast_to(allowed.any(axis=(0, 1)), shape[2:])
        first, last = [], []
        for row in range(0, shape[2], _ROWS):
            read = np.flatnonzero(columns[row : row + _ROWS].any(axis=0))
            first.append(int(read[0]))
            last.append(int(read[-1]) + 1)
        return cls(own, first, last, diagonal=False)

    def keys(self, block: int) -> slice:
        """The keys any query of a block may read."""
        return slice(self._first[block], self._last[block])

    def apply(self, scores: Rows, batch: int, heads: slice, block: int) -> None:
        """Mask scores (heads, rows, columns) float32 in place; columns are :meth:`keys`."""
        rows = scores.shape[1]
        if self._diagonal:
            scores, own = scores[..., -rows:], self._mask[0, :, :rows, :rows]
        else:
            start = block * _ROWS
            own = self._mask[batch, heads, start : start + rows, self.keys(block)]
        if own.dtype == np.bool_:
            # A score may be infinite: adding −∞ to it would make it no number.
            np.copyto(scores, -np.inf, where=own)
        else:
            scores += own


class _Heads:
    """The heads of one call, a few an item of work; shapes and dtypes as in :func:`attend`."""

    def __init__(
        self,
        queries: Rows,
        keys: Rows,
        values: Rows,
        scale: np.float32,
        mask: _Mask | None,
        sinks: Rows | None,
    ) -> None:
        self._queries, self._keys, self._values = queries, keys, values
        self._scale, self._mask, self._sinks = scale, mask, sinks
        self._repeats = queries.shape[1] // keys.shape[1]

    def attended(self) -> mx.array:
        """Compute all heads: (B, Hq, L, Dv) float32, a transposed view of (B, L, Hq, Dv)."""
        batch, heads, length, _ = self._queries.shape
        # Heads next to dimensions, as the output projection reads them.
        array, self._out = new_array((batch, length, heads, self._values.shape[3]))
        shared = [
            slice(head, min(head + _HEADS, start + self._repeats))
            for start in range(0, heads, self._repeats)
            for head in range(start, start + self._repeats, _HEADS)
        ]
        items = [(b, of) for b in range(batch) for of in shared]
        run_each(self._head, items, batch * heads * length * self._keys.shape[2])
        return array.transpose(0, 2, 1, 3)

    def _head(self, item: tuple[int, slice]) -> None:
        # A model that overflows is found by its logits; MLX does not warn either.
        with np.errstate(all="ignore"):
            self._blocks(*item)

    def _blocks(self, batch: int, heads: slice) -> None:
        """Attention of heads that read the same keys."""
        queries = self._queries[batch, heads]
        of = heads.start // self._repeats
        keys, values = self._keys[batch, of], self._values[batch, of]
        count, length, depth = queries.shape
        sinks = None if self._sinks is None else self._sinks[heads, None, None]
        scratch = np.empty(count * _ROWS * len(keys), np.float32)
        for block, row in enumerate(range(0, length, _ROWS)):
            scaled = queries[:, row : row + _ROWS] * self._scale
            rows = scaled.shape[1]
            read = slice(0, len(keys)) if self._mask is None else self._mask.keys(block)
            columns = read.stop - read.start
            flat = scratch[: count * rows * columns].reshape(count * rows, columns)
            np.matmul(scaled.reshape(count * rows, depth), keys[read].T, out=flat)
            scores = flat.reshape(count, rows, columns)
            if self._mask is not None:
                self._mask.apply(scores, batch, heads, block)
            maximum = scores.max(axis=-1, keepdims=True)
            if sinks is not None:
                np.maximum(maximum, sinks, out=maximum)
            scores -= maximum
            np.exp(scores, out=scores)
            weight = scores.sum(axis=-1, keepdims=True)
            if sinks is not None:
                weight += np.exp(sinks - maximum)
            product = np.matmul(flat, values[read]).reshape(count, rows, -1)
            out = self._out[batch, row : row + _ROWS, heads].transpose(1, 0, 2)
            np.divide(product, weight, out=out)
