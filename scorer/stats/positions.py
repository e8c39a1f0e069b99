"""Per-position scalars: all that is stored of the logits, and the source of every number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Positions:
    """Scalars of N scored positions of one setting, one row per position.

    Attributes:
        chunk: (N,) int32, index of the chunk in the corpus.
        position: (N,) int32, position t in the chunk; it predicts token t + 1.
        token: (N,) int32, the target: token t + 1 of the chunk.
        kl: (N,) float64, KL(reference ‖ quantized) over the full vocabulary, nats. May be +inf,
            and slightly negative from rounding; never NaN.
        nll_ref: (N,) float64, the reference's −log p(target), nats.
        nll_quant: (N,) float64, the quantized model's, nats.
        top_ref: (N,) int32, the reference's most likely token, lowest id on exact ties.
        top_ref_logprob: (N,) float64, its log-probability under the reference, nats.
        top_quant: (N,) int32, the quantized model's most likely token.
        top_quant_logprob: (N,) float64, its log-probability under the quantized model, nats.
    """

    chunk: IntArray
    position: IntArray
    token: IntArray
    kl: FloatArray
    nll_ref: FloatArray
    nll_quant: FloatArray
    top_ref: IntArray
    top_ref_logprob: FloatArray
    top_quant: IntArray
    top_quant_logprob: FloatArray

    def __len__(self) -> int:
        return len(self.kl)

    @property
    def flips(self) -> NDArray[np.bool_]:
        """(N,) bool, whether the top token changed."""
        changed: NDArray[np.bool_] = self.top_ref != self.top_quant
        return changed

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> Positions:
        """Return some of the rows.

        Args:
            rows: (N,) bool mask, (n,) int64 indices, or a slice.
        """
        return Positions(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def concatenate(cls, parts: list[Positions]) -> Positions:
        """Return all rows of at least one part, in order."""
        return cls(*(np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)))


@dataclass(frozen=True, slots=True)
class SummaryColumns:
    """Those columns of N positions that a summary is made of, one row per position.

    Attributes:
        chunk, position, kl, nll_ref, nll_quant, top_ref_logprob: As of :class:`Positions`.
        flips: (N,) bool, whether the top token changed.
    """

    chunk: IntArray
    position: IntArray
    kl: FloatArray
    nll_ref: FloatArray
    nll_quant: FloatArray
    top_ref_logprob: FloatArray
    flips: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.kl)

    def select(self, rows: NDArray[np.bool_] | NDArray[np.intp] | slice) -> SummaryColumns:
        """Return some of the rows, see :meth:`Positions.select`."""
        return SummaryColumns(*(getattr(self, f.name)[rows] for f in fields(self)))

    @classmethod
    def of(cls, positions: Positions) -> SummaryColumns:
        """Take them from positions, without a copy."""
        return cls(*(getattr(positions, f.name) for f in fields(cls)))

    @classmethod
    def joined(cls, parts: Iterable[Positions], rows: int) -> SummaryColumns:
        """Return the columns of parts that are read one after the other, none of them kept.

        Args:
            parts: The positions, in order.
            rows: How many there are in all.

        Raises:
            ValueError: There are more or fewer.
        """
        found = cls(
            chunk=np.empty(rows, np.int32),
            position=np.empty(rows, np.int32),
            kl=np.empty(rows),
            nll_ref=np.empty(rows),
            nll_quant=np.empty(rows),
            top_ref_logprob=np.empty(rows),
            flips=np.empty(rows, np.bool_),
        )
        at = 0
        for part in parts:
            for f in fields(cls):
                getattr(found, f.name)[at : at + len(part)] = getattr(part, f.name)
            at += len(part)
        if at != rows:
            raise ValueError(f"{at} positions, not {rows}")
        return found
