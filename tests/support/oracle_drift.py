"""Per-position metrics one row at a time in float64, exactly summed; shares nothing with scorer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Row:
    """What one position comes to.

    Attributes:
        kl: KL(p ‖ q) in nats over the whole vocabulary; +inf where q has no mass and p has.
        nll_ref: −log p(target), nats.
        nll_quant: −log q(target), nats.
        top_ref: Lowest index of the largest reference logit.
        top_ref_logprob: Its log-probability under the reference, nats.
        top_quant: Lowest index of the largest candidate logit.
        top_quant_logprob: Its log-probability under the candidate, nats.
    """

    kl: float
    nll_ref: float
    nll_quant: float
    top_ref: int
    top_ref_logprob: float
    top_quant: int
    top_quant_logprob: float


def log_softmax(logits: NDArray[np.float32]) -> list[float]:
    """Natural log-probabilities of one row of logits."""
    row = [float(x) for x in logits]
    largest = max(row)
    total = math.fsum(math.exp(x - largest) for x in row)
    return [x - largest - math.log(total) for x in row]


def score_row(reference: NDArray[np.float32], candidate: NDArray[np.float32], target: int) -> Row:
    """Metrics of one position from two rows of V logits."""
    log_p, log_q = log_softmax(reference), log_softmax(candidate)
    terms = [math.exp(p) * (p - q) for p, q in zip(log_p, log_q, strict=True) if math.exp(p) > 0]
    # Of the logits, not of their logarithms, where rounding makes ties.
    top_ref, top_quant = (list(row).index(max(row)) for row in (reference, candidate))
    return Row(
        kl=math.inf if math.inf in terms else math.fsum(terms),
        nll_ref=-log_p[target],
        nll_quant=-log_q[target],
        top_ref=top_ref,
        top_ref_logprob=log_p[top_ref],
        top_quant=top_quant,
        top_quant_logprob=log_q[top_quant],
    )


def score_rows(
    reference: NDArray[np.float32], candidate: NDArray[np.float32], targets: NDArray[np.integer]
) -> dict[str, NDArray[np.float64]]:
    """Metrics of N positions by name, each (N,), from logits (N, V) and targets (N,)."""
    rows = [score_row(r, q, int(t)) for r, q, t in zip(reference, candidate, targets, strict=True)]
    return {name: np.array([getattr(row, name) for row in rows]) for name in Row.__annotations__}
