"""The fused kernel's algorithm once more, in NumPy: the same vectors, threads and merges."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Index = NDArray[np.int64]

LOWEST = np.float32(-3.402823466e38)
NOWHERE = 0x7FFFFFFF
WIDTH = 8


@dataclass
class Side:
    """(N, threads) each: the largest logit, the sum below it, the first vector that holds it."""

    top: Array
    sum: Array
    at: Index

    def raised(self, highest: Array, at: int | Index) -> Side:
        higher, equal = highest > self.top, highest == self.top
        total = np.where(higher, self.sum * np.exp(self.top - highest), self.sum)
        first = np.where(higher, at, np.where(equal, np.minimum(self.at, at), self.at))
        return Side(np.where(higher, highest, self.top), total.astype(np.float32), first)

    def merged(self, other: Side) -> Side:
        top = np.fmax(self.top, other.top)
        total = self.sum * np.exp(self.top - top) + other.sum * np.exp(other.top - top)
        first = np.where(self.top > other.top, self.at, other.at)
        first = np.where(self.top == other.top, np.minimum(self.at, other.at), first)
        return Side(top, total.astype(np.float32), first)

    def part(self, threads: slice) -> Side:
        return Side(self.top[:, threads], self.sum[:, threads], self.at[:, threads])


@dataclass
class State:
    p: Side
    q: Side
    cross: Array
    gone: Array

    def moved_cross(self, p_top: Array, q_top: Array) -> Array:
        counts = (self.p.sum > 0) & (self.q.top > LOWEST)
        shift = ((self.p.top - p_top) - (self.q.top - q_top)) * self.p.sum
        moved = self.cross + np.where(counts, shift, 0)
        return (moved * np.exp(self.p.top - p_top)).astype(np.float32)

    def absorbed(self, p: Array, q: Array, at: Index, given: bool) -> State:
        """One vector (N, threads, W) of each thread, the first of them at column ``at``."""
        new_p = self.p if given else self.p.raised(np.fmax.reduce(p, axis=-1), at)
        new_q = self.q.raised(np.fmax.reduce(q, axis=-1), at)
        p_below, q_below = p - new_p.top[..., None], q - new_q.top[..., None]
        weight = np.exp(p_below)
        out = q == -np.inf
        counted = ~out & (weight > 0)
        cross = np.where(counted, weight * (p_below - q_below), 0).sum(-1, dtype=np.float32)
        lost = np.where(out, np.fmax(p, LOWEST), LOWEST).max(-1)
        return State(
            replace(new_p, sum=new_p.sum + weight.sum(-1, dtype=np.float32)),
            replace(new_q, sum=new_q.sum + np.exp(q_below).sum(-1, dtype=np.float32)),
            self.moved_cross(new_p.top, new_q.top) + cross,
            np.fmax(self.gone, lost),
        )

    def merged(self, other: State) -> State:
        p, q = self.p.merged(other.p), self.q.merged(other.q)
        cross = self.moved_cross(p.top, q.top) + other.moved_cross(p.top, q.top)
        return State(p, q, cross, np.fmax(self.gone, other.gone))

    def part(self, threads: slice) -> State:
        return State(
            self.p.part(threads),
            self.q.part(threads),
            self.cross[:, threads],
            self.gone[:, threads],
        )

    def where(self, changed: NDArray[np.bool_], new: State) -> State:
        """``new`` at the threads that had a vector."""

        def pick(a: NDArray[np.generic], b: NDArray[np.generic]) -> NDArray[np.generic]:
            return np.where(changed, b, a)

        def side(a: Side, b: Side) -> Side:
            return Side(pick(a.top, b.top), pick(a.sum, b.sum), pick(a.at, b.at))  # type: ignore[arg-type]

        return State(
            side(self.p, new.p),
            side(self.q, new.q),
            pick(self.cross, new.cross),  # type: ignore[arg-type]
            pick(self.gone, new.gone),  # type: ignore[arg-type]
        )


def _empty(p_top: Array, q_top: Array, threads: int) -> State:
    shape = len(p_top), threads

    def side(top: Array) -> Side:
        return Side(
            np.repeat(top[:, None], threads, 1),
            np.zeros(shape, np.float32),
            np.full(shape, NOWHERE, np.int64),
        )

    return State(
        side(p_top), side(q_top), np.zeros(shape, np.float32), np.full(shape, LOWEST, np.float32)
    )


def _absorb_range(
    state: State, p: Array, q: Array, start: int, width: int, threads: int, given: bool
) -> State:
    """Columns from ``start`` on in vectors of ``width``, vector i by thread i modulo threads."""
    count = (p.shape[1] - start) // width
    for first in range(0, count, threads):
        index = start + width * (first + np.arange(threads))
        has = first + np.arange(threads) < count
        columns = np.where(has, index, start)[:, None] + np.arange(width)
        new = state.absorbed(p[:, columns], q[:, columns], index[None], given)
        state = state.where(has[None], new)
    return state


def fused(p: Array, q: Array, targets: Index, threads: int = 256) -> dict[str, NDArray[np.generic]]:
    """Scalars of N pairs of rows (N, V)."""
    # The kernel has the reference's part from a call of its own.
    known = _reduced(p, p, targets, threads)
    made = _reduced(p, q, targets, threads, known["top_ref"].astype(np.int64))
    return made | {name: known[name] for name in ("nll_ref", "top_ref", "top_ref_logprob")}


def _reduced(
    p: Array, q: Array, targets: Index, threads: int, top: Index | None = None
) -> dict[str, NDArray[np.generic]]:
    """Scalars of N pairs of rows (N, V); ``top``: the reference's top tokens where known."""
    rows = np.arange(len(p))
    given = top is not None
    lowest = np.full(len(p), LOWEST, np.float32)
    with np.errstate(all="ignore"):
        state = _empty(lowest, lowest, threads)
        if top is not None:
            state = _empty(p[rows, top], np.fmax(q[rows, top], LOWEST), threads)
        vectors = p.shape[1] // WIDTH
        whole = p[:, : vectors * WIDTH], q[:, : vectors * WIDTH]
        state = _absorb_range(state, *whole, 0, WIDTH, threads, given)
        state = _absorb_range(state, p, q, vectors * WIDTH, 1, threads, given)
        warps = []
        for warp in range(threads // 32):
            own = state.part(slice(32 * warp, 32 * warp + 32))
            for offset in (16, 8, 4, 2, 1):
                own = own.part(slice(0, offset)).merged(own.part(slice(offset, 2 * offset)))
            warps.append(own)
        last = warps[0]
        for own in warps[1:]:
            last = last.merged(own)
        p_sum, q_sum = last.p.sum[:, 0], last.q.sum[:, 0]
        kl = last.cross[:, 0] / p_sum - np.log(p_sum) + np.log(q_sum)
        weight = last.gone[:, 0] - last.p.top[:, 0] - np.log(p_sum)
        kl = np.where((p_sum > 0) & (q_sum > 0), kl, np.nan)
        ruled_out = ~np.isnan(kl) & (last.gone[:, 0] > LOWEST) & (weight > np.float32(-745.1))
        return {
            "kl": np.where(ruled_out, np.inf, kl),
            "nll_ref": np.log(p_sum) - (p[rows, targets] - last.p.top[:, 0]),
            "nll_quant": np.log(q_sum) - (q[rows, targets] - last.q.top[:, 0]),
            "top_ref": _first(p, last.p),
            "top_ref_logprob": -np.log(p_sum),
            "top_quant": _first(q, last.q),
            "top_quant_logprob": -np.log(q_sum),
        }


def _first(rows: Array, side: Side) -> NDArray[np.int64]:
    found = [
        next(c for c in range(int(at), len(row)) if row[c] == top) if at != NOWHERE else 0
        for row, at, top in zip(rows, side.at[:, 0], side.top[:, 0], strict=True)
    ]
    return np.array(found)
