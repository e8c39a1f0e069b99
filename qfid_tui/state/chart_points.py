"""The values that the charts of the workbench show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qfid_tui.pictures.scatter import ScatterPoint
    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.table_rows import TableRow


def scatter_points(rows: Iterable[TableRow]) -> list[ScatterPoint]:
    """KL mean against bytes per token of every row with numbers, the frontier marked.

    A setting is on the frontier where no other of the same kind, this comparison's or an earlier
    run's, costs no more and loses no more.
    """
    from qfid_tui.pictures.scatter import ScatterPoint

    known = [
        (row, row.cost.per_token, row.figures)
        for row in rows
        if row.figures is not None and row.cost is not None and row.failure is None
    ]
    return [
        ScatterPoint(
            label=row.name,
            bytes_per_token=cost,
            kl_mean=figures.kl_mean,
            verdict=figures.shown_verdict,
            frontier=not any(
                bool(other.origin) == bool(row.origin)
                and (price, loss.kl_mean) != (cost, figures.kl_mean)
                and price <= cost
                and loss.kl_mean <= figures.kl_mean
                for other, price, loss in known
            ),
            earlier=bool(row.origin),
        )
        for row, cost, figures in known
    ]


def chart_row(rows: Sequence[TableRow], at_cursor: TableRow | None) -> TableRow | None:
    """The row that charts show: the one with the cursor, else the first that has numbers."""
    scored = [row for row in rows if row.figures is not None]
    if at_cursor is not None and at_cursor.figures is not None:
        return at_cursor
    return scored[0] if scored else None


def chunk_points(comparison: Comparison, row: TableRow | None) -> list[tuple[int, float]]:
    """Chunk index and KL mean of a setting's chunks, in the order of the text."""
    if row is None:
        return []
    if row.origin:
        return list(enumerate(row.kl))
    result = comparison.settings.get(row.name)
    return [] if result is None else sorted(zip(result.chunks, result.kl, strict=False))


def depth_spans(comparison: Comparison, row: TableRow | None) -> list[tuple[int, int, float]]:
    """Spans of positions and their KL mean, nats: from the report, during a run from its chunks."""
    result = None if row is None or row.origin else comparison.settings.get(row.name)
    if result is None:
        return []
    if result.row is None:
        return result.depth
    numbers = result.row.numbers
    return [
        (span.start, span.end, span.kl_mean)
        for span in (() if numbers is None else numbers.kl_by_depth)
        if span.kl_mean is not None
    ]
