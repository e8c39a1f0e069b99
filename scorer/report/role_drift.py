"""Measures how far a setting drifts on what each role of a chat text said."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from scorer.report.role_values import RoleDrift
from scorer.spec.roles import TEMPLATE, UNKNOWN
from scorer.stats.intervals import Interval, clustered_mean, units_of, with_width
from scorer.stats.positions import SummaryColumns
from scorer.stats.quantiles import quantile
from scorer.stats.summary import exp_of, mean_of

if TYPE_CHECKING:
    from scorer.runs.stored_chunks import StoredChunks

FEWEST_POSITIONS = 200
"""Positions of a role below which there is no interval, as there is none of p99."""
_LAST = (TEMPLATE, UNKNOWN)


def drift_by_role(
    stored: StoredChunks, counted: Collection[str], documents: Mapping[int, int | None]
) -> tuple[RoleDrift, ...]:
    """Measure the drift of one setting on each role, also on those that do not count.

    Args:
        stored: Its scored chunks.
        counted: The roles that count; empty for all.
        documents: Chunk to the document of its first token.

    Returns:
        One entry a role, those with most positions first, then ``template`` and ``unknown``; empty
        for a text without roles.
    """
    if not stored.has_roles:
        return ()
    whole = stored.of_all_roles()
    codes: dict[str, int] = {}
    of = np.concatenate(
        [
            np.array([codes.setdefault(role or UNKNOWN, len(codes)) for role in roles], np.int32)
            for roles in whole.roles()
        ]
    )
    columns = whole.columns()
    found = [
        _drift(role, not counted or role in counted, columns.select(of == code), documents)
        for role, code in codes.items()
    ]
    return tuple(sorted(found, key=lambda each: (each.role in _LAST, -each.n_positions)))


def _drift(
    role: str, counted: bool, rows: SummaryColumns, documents: Mapping[int, int | None]
) -> RoleDrift:
    chunks, chunk_of = np.unique(rows.chunk, return_inverse=True)
    interval, note = _interval(rows, chunks.tolist(), chunk_of, documents)
    return RoleDrift(
        role=role,
        counted=counted,
        n_positions=len(rows),
        n_chunks=len(chunks),
        kl_mean=mean_of(rows.kl),
        kl_p99=quantile(rows.kl, 0.99),
        flip_rate=int(rows.flips.sum()) / len(rows),
        perplexity_ref=exp_of(mean_of(rows.nll_ref)),
        perplexity_quant=exp_of(mean_of(rows.nll_quant)),
        kl_mean_interval=interval,
        note=note,
    )


def _interval(
    rows: SummaryColumns,
    chunks: list[int],
    chunk_of: np.ndarray[tuple[int], np.dtype[np.intp]],
    documents: Mapping[int, int | None],
) -> tuple[Interval | None, str]:
    if len(rows) < FEWEST_POSITIONS:
        return None, f"fewer than {FEWEST_POSITIONS} positions: no interval"
    if len(chunks) < 2:
        return None, "1 chunk gives no interval"
    sums = np.bincount(chunk_of, weights=rows.kl).tolist()
    sizes = np.bincount(chunk_of).tolist()
    found = clustered_mean(sums, sizes, units_of(chunks, documents))
    if found is None:
        return None, "an infinite KL gives no interval"
    interval = with_width(found.interval(lowest=0.0))
    return interval, "" if interval else "an interval without width is none"
