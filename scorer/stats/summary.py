"""Reduces the per-position scalars of one setting to the numbers of its report.

Sums are correctly rounded: a mean is the same on every machine and for every order in which
chunks were scored, so a saved run always prints the same report.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from scorer.common.errors import SettingFailed
from scorer.stats.depth import depth_edges
from scorer.stats.exact_sum import exact_row_sums, exact_sum
from scorer.stats.positions import Positions, SummaryColumns
from scorer.stats.quantiles import DELTA_P_LADDER, KL_LADDER, ladder, quantile
from scorer.stats.summary_values import (
    ChunkSums,
    ConfidenceBucket,
    DepthSpan,
    KLSummary,
    Summary,
)

CONFIDENCE_EDGES = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)
_VALUES_AT_ONCE = 1 << 16


Rows = TypeVar("Rows", Positions, SummaryColumns)
Number = TypeVar("Number", int, float)


def in_order(positions: Rows) -> Rows:
    """Return the positions, or their columns, sorted by chunk, then position.

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
    positions: Positions | SummaryColumns, *, first_position: int = 0, n_depth: int | None = None
) -> Summary:
    """Reduce the scored positions of one setting.

    Args:
        positions: At least one position, in any order.
        first_position: First scored position of a chunk, where depth is 0.
        n_depth: Scored positions of a chunk; None to take it from the deepest position.

    Raises:
        SettingFailed: There is no position, one occurs twice, a KL is NaN, or an NLL not finite.
    """
    if isinstance(positions, Positions):
        positions = SummaryColumns.of(positions)
    rows = in_order(positions)
    ref, quant = mean_of(rows.nll_ref), mean_of(rows.nll_quant)
    per_chunk, ratio = chunk_sums(rows), mean_of(rows.nll_quant - rows.nll_ref)
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
        nll_correlation=_correlation(rows.nll_ref - ref, rows.nll_quant - quant),
        delta_p=_delta_p(rows),
        depth=_by_depth(depth, rows.kl, int(depth.max()) + 1 if n_depth is None else n_depth),
        confidence=_by_confidence(rows),
        per_chunk=per_chunk,
    )


def kl_summary(positions: Positions | SummaryColumns) -> tuple[KLSummary, float]:
    """Return only the KL summary and the flip rate, for a control lane."""
    if isinstance(positions, Positions):
        positions = SummaryColumns.of(positions)
    rows = in_order(positions)
    q = ladder(rows.kl, KL_LADDER)
    kl = KLSummary(mean_of(rows.kl), q["median"], q["p99"], q["max"])
    return kl, int(rows.flips.sum()) / len(rows)


def chunk_sums(rows: SummaryColumns) -> ChunkSums:
    """The sums of each chunk.

    Args:
        rows: At least one position, in order of chunk.
    """
    starts = np.flatnonzero(np.diff(rows.chunk, prepend=rows.chunk[0] - 1))
    sizes = np.diff(starts, append=len(rows))
    difference = rows.nll_quant - rows.nll_ref
    return ChunkSums(
        chunks=tuple(rows.chunk[starts].tolist()),
        sizes=tuple(sizes.tolist()),
        kl=_of_each(exact_row_sums, rows.kl, sizes),
        flips=_of_each(lambda chunks: chunks.sum(axis=1).tolist(), rows.flips, sizes),
        nll_difference=_of_each(exact_row_sums, difference, sizes),
        kl_squares=_of_each(_sums_of_squares, rows.kl, sizes),
    )


def _of_each(
    sums: Callable[[Any], list[Number]], values: NDArray[Any], sizes: NDArray[np.intp]
) -> tuple[Number, ...]:
    """One number of each chunk, made of as many chunks of one size at a time as there are in a row.

    Args:
        sums: From (M, T) values to M numbers.
        values: (N,), chunk after chunk.
        sizes: Positions of each chunk.
    """
    found: list[Number] = []
    at = 0
    for size, run in itertools.groupby(sizes.tolist()):
        end = at + size * sum(1 for _ in run)
        found += sums(values[at:end].reshape(-1, size))
        at = end
    return tuple(found)


def _sums_of_squares(rows: NDArray[np.float64]) -> list[float]:
    """Add up squares one after the other; an infinite sum is one too large for a float64."""
    at_once = max(1, _VALUES_AT_ONCE // rows.shape[1])
    found: list[float] = []
    with np.errstate(over="ignore"):
        for start in range(0, len(rows), at_once):
            squares = np.square(rows[start : start + at_once])
            found += np.cumsum(squares, axis=1)[:, -1].tolist()
    return found


def _correlation(dx: NDArray[np.float64], dy: NDArray[np.float64]) -> float | None:
    """Pearson's correlation from the differences to the means; None if one is constant."""
    sxx, syy = exact_sum(dx * dx), exact_sum(dy * dy)
    if sxx == 0 or syy == 0:
        return None
    r = exact_sum(dx * dy) / math.sqrt(sxx) / math.sqrt(syy)
    return max(-1.0, min(1.0, r))


def delta_p_percent(positions: Positions | SummaryColumns) -> NDArray[np.float64]:
    """Return ``100 · (q(target) − p(target))`` in percent, (N,) float64.

    Source: llama.cpp, ``llama-perplexity --kl-divergence``.
    """
    # In place: there are as many as positions in the text.
    change = np.negative(positions.nll_quant)
    before = np.negative(positions.nll_ref)
    np.exp(change, out=change)
    change -= np.exp(before, out=before)
    change *= 100.0
    return change


def _delta_p(rows: SummaryColumns) -> dict[str, float]:
    change = delta_p_percent(rows)
    rms = math.sqrt(mean_of(change * change))
    return {"mean": mean_of(change), "rms": rms, **ladder(change, DELTA_P_LADDER)}


def _by_depth(
    depth: NDArray[np.int32], kl: NDArray[np.float64], n_depth: int
) -> tuple[DepthSpan, ...]:
    spans = []
    for start, end in itertools.pairwise(depth_edges(n_depth)):
        values = kl[(depth >= start) & (depth < end)]
        empty = len(values) == 0
        spans.append(
            DepthSpan(
                start=start,
                end=end,
                kl_mean=None if empty else mean_of(values),
                kl_p99=None if empty else quantile(values, 0.99),
                n_positions=len(values),
            )
        )
    return tuple(spans)


def _by_confidence(rows: SummaryColumns) -> tuple[ConfidenceBucket, ...]:
    # Rounding can put a log-probability of 0 slightly above it.
    top = np.exp(rows.top_ref_logprob)
    np.minimum(top, 1.0, out=top)
    found = []
    for low, high in itertools.pairwise(CONFIDENCE_EDGES):
        inside = top >= low
        if high < 1:
            inside &= top < high
        n = int(np.count_nonzero(inside))
        found.append(
            ConfidenceBucket(
                low=low,
                high=high,
                kl_mean=mean_of(rows.kl[inside]) if n else None,
                flip_rate=int(np.count_nonzero(rows.flips & inside)) / n if n else None,
                n_positions=n,
            )
        )
    return tuple(found)
