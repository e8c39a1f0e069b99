"""Reduces the per-position scalars of one setting to the numbers of its report.

Sums are correctly rounded: a mean is the same on every machine and for every order in which
chunks were scored, so a saved run always prints the same report.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
from numpy.typing import NDArray

from scorer.common.errors import SettingFailed
from scorer.stats.depth import depth_edges
from scorer.stats.exact_sum import exact_sum
from scorer.stats.positions import Positions
from scorer.stats.quantiles import DELTA_P_LADDER, KL_LADDER, ladder, sorted_quantile
from scorer.stats.summary_values import (
    ChunkSums,
    ConfidenceBucket,
    DepthSpan,
    KLSummary,
    Summary,
)

CONFIDENCE_EDGES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)


def in_order(positions: Positions) -> Positions:
    """Return the positions sorted by chunk, then position.

    Raises:
        SettingFailed: There is no position, one occurs twice, a KL is NaN, or an NLL not finite.
    """
    if len(positions) == 0:
        raise SettingFailed("there is no scored position to summarize")
    ordered = positions
    later, deeper = np.diff(positions.chunk), np.diff(positions.position)
    # Usually they are in order already, as they were saved.
    if not ((later > 0) | ((later == 0) & (deeper > 0))).all():
        ordered = positions.select(np.lexsort((positions.position, positions.chunk)))
        later, deeper = np.diff(ordered.chunk), np.diff(ordered.position)
    again = (later == 0) & (deeper == 0)
    bad = np.isnan(ordered.kl) | ~np.isfinite(ordered.nll_ref) | ~np.isfinite(ordered.nll_quant)
    for rows, what in ((again, "occurs twice"), (bad, "holds no usable number")):
        if rows.any():
            row = int(np.flatnonzero(rows)[0])
            raise SettingFailed(
                f"position {ordered.position[row]} of chunk {ordered.chunk[row]} {what}",
                "the saved positions are damaged: score this setting again",
            )
    return ordered


def mean_of(values: NDArray[np.float64]) -> float:
    """Return the correctly rounded mean; +inf if one value is +inf.

    Args:
        values: (N,) float64, N at least 1.
    """
    return exact_sum(values) / len(values)


def exp_of(nats: float) -> float:
    """Return ``exp(nats)``, or +inf where it overflows."""
    try:
        return math.exp(nats)
    except OverflowError:
        return math.inf


def summarize(
    positions: Positions, *, first_position: int = 0, n_depth: int | None = None
) -> Summary:
    """Reduce the scored positions of one setting.

    Args:
        positions: At least one position, in any order.
        first_position: First scored position of a chunk, where depth is 0.
        n_depth: Scored positions of a chunk; None to take it from the deepest position.

    Raises:
        SettingFailed: There is no position, one occurs twice, a KL is NaN, or an NLL not finite.
    """
    rows = in_order(positions)
    ref, quant = mean_of(rows.nll_ref), mean_of(rows.nll_quant)
    ratio = mean_of(rows.nll_quant - rows.nll_ref)
    depth = rows.position - first_position
    quantiles = ladder(rows.kl, KL_LADDER)
    return Summary(
        n_positions=len(rows),
        n_infinite=int(np.isinf(rows.kl).sum()),
        kl=KLSummary(mean_of(rows.kl), quantiles["median"], quantiles["p99"], quantiles["max"]),
        kl_quantiles=quantiles,
        flip_rate=int(rows.flips.sum()) / len(rows),
        perplexity_ref=exp_of(ref),
        perplexity_quant=exp_of(quant),
        perplexity_delta=exp_of(quant) - exp_of(ref),
        ln_perplexity_ratio=ratio,
        perplexity_ratio=exp_of(ratio),
        nll_correlation=_correlation(rows.nll_ref, rows.nll_quant),
        delta_p=_delta_p(rows),
        depth=_by_depth(depth, rows.kl, int(depth.max()) + 1 if n_depth is None else n_depth),
        confidence=_by_confidence(rows),
        per_chunk=_per_chunk(rows),
    )


def kl_summary(positions: Positions) -> tuple[KLSummary, float]:
    """Return only the KL summary and the flip rate, for a control lane."""
    rows = in_order(positions)
    q = ladder(rows.kl, KL_LADDER)
    kl = KLSummary(mean_of(rows.kl), q["median"], q["p99"], q["max"])
    return kl, int(rows.flips.sum()) / len(rows)


def _per_chunk(rows: Positions) -> ChunkSums:
    starts = np.flatnonzero(np.diff(rows.chunk, prepend=rows.chunk[0] - 1))
    edges = list(itertools.pairwise([*starts.tolist(), len(rows)]))
    kl, flips = rows.kl.tolist(), rows.flips.tolist()
    difference = (rows.nll_quant - rows.nll_ref).tolist()
    return ChunkSums(
        chunks=tuple(rows.chunk[starts].tolist()),
        sizes=tuple(end - start for start, end in edges),
        kl=tuple(math.fsum(kl[start:end]) for start, end in edges),
        flips=tuple(sum(flips[start:end]) for start, end in edges),
        nll_difference=tuple(math.fsum(difference[start:end]) for start, end in edges),
        kl_squares=tuple(sum(x * x for x in kl[start:end]) for start, end in edges),
    )


def _correlation(x: NDArray[np.float64], y: NDArray[np.float64]) -> float | None:
    dx, dy = x - mean_of(x), y - mean_of(y)
    sxx, syy = exact_sum(dx * dx), exact_sum(dy * dy)
    if sxx == 0 or syy == 0:
        return None
    r = exact_sum(dx * dy) / math.sqrt(sxx) / math.sqrt(syy)
    return max(-1.0, min(1.0, r))


def delta_p_percent(positions: Positions) -> NDArray[np.float64]:
    """Return ``100 · (q(target) − p(target))`` in percent, (N,) float64.

    Source: llama.cpp, ``llama-perplexity --kl-divergence``.
    """
    return 100.0 * (np.exp(-positions.nll_quant) - np.exp(-positions.nll_ref))


def _delta_p(rows: Positions) -> dict[str, float]:
    change = delta_p_percent(rows)
    rms = math.sqrt(mean_of(change * change))
    return {"mean": mean_of(change), "rms": rms, **ladder(change, DELTA_P_LADDER)}


def _by_depth(
    depth: NDArray[np.int32], kl: NDArray[np.float64], n_depth: int
) -> tuple[DepthSpan, ...]:
    spans = []
    for start, end in itertools.pairwise(depth_edges(n_depth)):
        values = np.sort(kl[(depth >= start) & (depth < end)])
        empty = len(values) == 0
        spans.append(
            DepthSpan(
                start=start,
                end=end,
                kl_mean=None if empty else mean_of(values),
                kl_p99=None if empty else sorted_quantile(values, 0.99),
                n_positions=len(values),
            )
        )
    return tuple(spans)


def _by_confidence(rows: Positions) -> tuple[ConfidenceBucket, ...]:
    # Rounding can put a log-probability of 0 slightly above it.
    top = np.minimum(np.exp(rows.top_ref_logprob), 1.0)
    bucket = np.searchsorted(CONFIDENCE_EDGES[1:-1], top, side="right")
    found = []
    for i, (low, high) in enumerate(itertools.pairwise(CONFIDENCE_EDGES)):
        inside = bucket == i
        n = int(inside.sum())
        found.append(
            ConfidenceBucket(
                low=low,
                high=high,
                kl_mean=mean_of(rows.kl[inside]) if n else None,
                flip_rate=int(rows.flips[inside].sum()) / n if n else None,
                n_positions=n,
            )
        )
    return tuple(found)
