"""Per-position scalars from two rows of logits: the float64 definition and a faster NumPy version.

``Reference`` computes the part of the reference once for all settings: maximum, sum, top token and
log-probability of the target.

KL(p ‖ q) = Σ_v p_v (log p_v − log q_v) with p = softmax(r), q = softmax(q), natural logarithm,
full vocabulary, no smoothing (definitions, "Per position").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.device.threads import run_each

LogitRows = NDArray[np.float32]

# Rounding can make KL this negative; a lower value is an error of the arithmetic.
LOWEST_KL = -1e-7
_BLOCK = 4


@dataclass(frozen=True, slots=True)
class TileScalars:
    """Per-position scalars of a tile of N positions.

    Attributes:
        kl: (N,) float64, nats.
        nll_ref: (N,) float64, nats.
        nll_quant: (N,) float64, nats.
        top_ref: (N,) int32.
        top_ref_logprob: (N,) float64, nats.
        top_quant: (N,) int32.
        top_quant_logprob: (N,) float64, nats.
    """

    kl: NDArray[np.float64]
    nll_ref: NDArray[np.float64]
    nll_quant: NDArray[np.float64]
    top_ref: NDArray[np.int32]
    top_ref_logprob: NDArray[np.float64]
    top_quant: NDArray[np.int32]
    top_quant_logprob: NDArray[np.float64]


class Reference:
    """The reference's part of a tile, computed once for all settings.

    Args:
        logits: (N, V) float32, logits of the reference; not copied.
        targets: (N,) of any integer dtype, the target token of each position.
        plain: Use the float64 definition for every row instead of the faster version.
    """

    def __init__(self, logits: LogitRows, targets: NDArray[Any], *, plain: bool = False) -> None:
        self.logits = logits
        self.targets = np.asarray(targets, dtype=np.int64)
        self.plain = plain
        self.top = np.empty(len(logits), np.int32)
        self.maximum = np.empty((len(logits), 1), np.float32)
        self.total = np.empty(len(logits))
        _in_blocks(self._plain_sums if plain else self._fast_sums, logits)
        self.log_total = np.log(self.total)
        self.target_logprob = _logprob(logits, self.targets, self.maximum, self.log_total)
        self.top_logprob = -self.log_total

    @property
    def nbytes(self) -> int:
        """Bytes of the logits."""
        return self.logits.nbytes

    def compare(self, logits: LogitRows) -> TileScalars:
        """Return the scalars of a candidate.

        Args:
            logits: (N, V) float32, logits of the candidate.
        """
        count = len(logits)
        top, maximum = np.empty(count, np.int32), np.empty((count, 1), np.float32)
        kl, total = np.empty(count), np.empty(count)

        def rows(block: slice) -> None:
            own = logits[block]
            top[block], maximum[block] = _tops(own)
            compare = self._plain_kl if self.plain else self._fast_kl
            kl[block], total[block] = compare(own, maximum[block], block)

        _in_blocks(rows, logits)
        if not self.plain:
            # Infinite logits give 0 · ∞ in the faster version, and float32 exponentials that all
            # round in one direction (a nearly flat row) give −2e-7. Such rows use the definition.
            if len(odd := np.flatnonzero(~np.isfinite(kl) | (kl < LOWEST_KL))):
                reference = Reference(self.logits[odd], self.targets[odd], plain=True)
                kl[odd] = reference.compare(logits[odd]).kl
        log_total = np.log(total)
        return TileScalars(
            kl=kl,
            nll_ref=-self.target_logprob,
            nll_quant=-_logprob(logits, self.targets, maximum, log_total),
            top_ref=self.top,
            top_ref_logprob=self.top_logprob,
            top_quant=top,
            top_quant_logprob=-log_total,
        )

    def _plain_sums(self, block: slice) -> None:
        own = self.logits[block]
        self.top[block], self.maximum[block] = _tops(own)
        self.total[block] = np.exp(own.astype(np.float64) - self.maximum[block]).sum(axis=-1)

    def _fast_sums(self, block: slice) -> None:
        own = self.logits[block]
        self.top[block], self.maximum[block] = _tops(own)
        shifted = own - self.maximum[block]
        self.total[block] = np.exp(shifted, out=shifted).sum(axis=-1, dtype=np.float64)

    def _plain_kl(
        self, logits: LogitRows, maximum: LogitRows, block: slice
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shifted = logits.astype(np.float64) - maximum
        total = np.exp(shifted).sum(axis=-1)
        log_q = shifted - np.log(total)[:, None]
        log_p = self.logits[block].astype(np.float64) - self.maximum[block]
        log_p -= self.log_total[block][:, None]
        p = np.exp(log_p)
        terms = np.where(p > 0, p * (log_p - log_q), 0.0)
        return terms.sum(axis=-1), total

    def _fast_kl(
        self, logits: LogitRows, maximum: LogitRows, block: slice
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shifted = logits - maximum
        reference = self.logits[block] - self.maximum[block]
        # Computed again for each candidate: reading stored values from memory takes as long.
        weights = np.exp(reference)
        reference -= shifted
        weights *= reference
        total = np.exp(shifted, out=shifted).sum(axis=-1, dtype=np.float64)
        difference = weights.sum(axis=-1, dtype=np.float64)
        return difference / self.total[block] - self.log_total[block] + np.log(total), total


def _in_blocks(work: Callable[[slice], None], logits: LogitRows) -> None:
    """Process a few rows at a time, so that temporary arrays fit in the processor's cache."""
    count = len(logits)

    def without_warnings(block: slice) -> None:
        with np.errstate(all="ignore"):
            work(block)

    blocks = [slice(row, min(row + _BLOCK, count)) for row in range(0, count, _BLOCK)]
    run_each(without_warnings, blocks, logits.size)


def _tops(logits: LogitRows) -> tuple[NDArray[np.intp], LogitRows]:
    """Return the first column of each row's largest value (N,) int64, and that value (N, 1)."""
    top = logits.argmax(axis=-1)
    return top, np.take_along_axis(logits, top[:, None], axis=-1)


def _logprob(
    logits: LogitRows,
    tokens: NDArray[np.int64],
    maximum: LogitRows,
    log_total: NDArray[np.float64],
) -> NDArray[np.float64]:
    chosen = logits[np.arange(len(logits)), tokens].astype(np.float64)
    result: NDArray[np.float64] = chosen - maximum[:, 0] - log_total
    return result
