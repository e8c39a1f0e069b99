"""The values that the charts of the workbench show."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qfid_tui.state.setting_names import ended, has_weights, short_name
from qfid_tui.state.setting_results import depth_of
from scorer.spec.amounts import tokens_word

if TYPE_CHECKING:
    from qfid_tui.pictures.scatter import ScatterPoint
    from qfid_tui.state.comparison import Comparison
    from qfid_tui.state.grid import Grid
    from qfid_tui.state.table_rows import TableRow


# Characters of the name of a point.
_LABEL = 14


@dataclass(frozen=True, slots=True)
class FrontierChart:
    """KL mean against bytes per token of the rows that may be ranked, on their common chunks.

    Attributes:
        points: The rows, those on the frontier marked.
        n_chunks: Chunks that all of them have; the KL means are over these.
        left_out: Names of the rows that are not ranked with them, and in what they differ.
        context: Where the bytes are those of weights, cache and prefill: the context in words. Else
            "": they are those of the KV cache, per token.
        of_weights: Whether the bounds are those of weights.
    """

    points: tuple[ScatterPoint, ...] = ()
    n_chunks: int = 0
    left_out: tuple[tuple[str, tuple[str, ...]], ...] = ()
    context: str = ""
    of_weights: bool = False


def frontier_chart(rows: Iterable[TableRow], at: TableRow | None) -> FrontierChart:
    """The rows that may be ranked with one of them.

    Rows of other conditions are left out, and rows with weights of their own, whose KV bytes rank
    nothing. So is a row of another run that lacks a chunk that all
    rows of the one's own run have.

    Args:
        rows: The rows of the table.
        at: The row that charts are about; None for none.
    """
    from qfid_tui.pictures.scatter import ScatterPoint

    if at is None or at.key is None:
        return FrontierChart()
    known = [
        (row, row.key, row.cost.per_token)
        for row in rows
        if row.figures is not None
        and row.key is not None
        and row.cost is not None
        and row.failure is None
        and not has_weights(row.name)
    ]
    members, left_out = [], []
    for entry in known:
        row, key, _ = entry
        if differs := at.key.differences(key):
            left_out.append((row.name, differs))
        else:
            members.append(entry)
    own = [key.chunks for row, key, _ in members if row.run == at.run]
    common: frozenset[int] = frozenset.intersection(*own) if own else frozenset()
    if not common:
        return FrontierChart(left_out=tuple(left_out))
    lacking = [entry for entry in members if not entry[1].chunks >= common]
    left_out += [(row.name, ("chunks",)) for row, _, _ in lacking]
    members = [entry for entry in members if entry[1].chunks >= common]
    means = [_kl_mean_on(row, common) for row, _, _ in members]
    placed = [(cost, mean) for (_, _, cost), mean in zip(members, means, strict=True)]
    points = tuple(
        ScatterPoint(
            label=short_name(row.name),
            bytes_per_token=cost,
            kl_mean=mean,
            verdict="" if row.figures is None else row.figures.shown_verdict,
            frontier=not any(
                other != (cost, mean) and other[0] <= cost and other[1] <= mean for other in placed
            ),
            earlier=bool(row.origin),
        )
        for (row, _, cost), mean in zip(members, means, strict=True)
    )
    return FrontierChart(points, len(common), tuple(left_out))


def total_chart(grid: Grid) -> FrontierChart:
    """KL mean against the least total bytes of the cells of a grid that have numbers."""
    from qfid_tui.pictures.scatter import ScatterPoint

    part = grid.part
    cells = [cell for row in grid.cells for cell in row if cell.figures is not None]
    if part is None:
        return FrontierChart()
    points = tuple(
        ScatterPoint(
            label=ended(grid.name(cell.name), _LABEL),
            bytes_per_token=cell.placed.least_bytes,
            kl_mean=cell.figures.kl_mean,
            verdict=cell.figures.shown_verdict,
            frontier=cell.placed.on_frontier,
            earlier=False,
            in_all=True,
        )
        for cell in cells
        if cell.placed is not None and cell.figures is not None
    )
    chunks = min((cell.figures.chunks for cell in cells if cell.figures), default=0)
    return FrontierChart(
        points, chunks, context=tokens_word(part.context), of_weights=grid.bounds == "weights"
    )


def _kl_mean_on(row: TableRow, chunks: frozenset[int]) -> float:
    """KL mean of a row over some of its chunks, nats."""
    assert row.figures is not None and row.key is not None
    if row.key.chunks == chunks:
        return row.figures.kl_mean
    parts = zip(row.chunks, row.kl, row.sizes, strict=False)
    found = [(kl, size) for chunk, kl, size in parts if chunk in chunks]
    if len({size for _, size in found}) <= 1:
        return sum(kl for kl, _ in found) / len(found) if found else math.nan
    return sum(kl * size for kl, size in found) / sum(size for _, size in found)


def chart_row(rows: Sequence[TableRow], at_cursor: TableRow | None) -> TableRow | None:
    """The row that charts show: the one with the cursor, else the first that has numbers.

    Before the first numbers of a run that goes on, an earlier run does not stand in its place.
    """
    if at_cursor is not None and at_cursor.figures is not None:
        return at_cursor
    scored = [row for row in rows if row.figures is not None]
    if any(row.waiting for row in rows):
        scored = [row for row in scored if not row.origin]
    return scored[0] if scored else None


def chunk_points(comparison: Comparison, row: TableRow | None) -> list[tuple[int, float]]:
    """Chunk index and KL mean of a setting's chunks, in the order of the text."""
    if row is None:
        return []
    if row.origin:
        return list(zip(row.chunks, row.kl, strict=False))
    result = comparison.settings.get(row.name)
    return [] if result is None else sorted(zip(result.chunks, result.kl, strict=False))


def depth_spans(comparison: Comparison, row: TableRow | None) -> list[tuple[int, int, float]]:
    """Spans of positions and their KL mean, nats: from the report, during a run from its chunks."""
    if row is None:
        return []
    if row.origin:
        return list(row.depth)
    result = comparison.settings.get(row.name)
    if result is None:
        return []
    if result.row is None:
        return result.depth
    return [] if result.row.numbers is None else depth_of(result.row.numbers)
