"""Tiles of positions: their size, the checks of their scalars, and how they are joined."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scorer.common.errors import SettingFailed
from scorer.lanes.base import Lane
from scorer.metrics.definition import TileScalars
from scorer.stats.positions import Positions

Tile = tuple[int, int]
"""First position and the one after the last."""
Part = tuple[Tile, TileScalars]

_ROWS = 128


@dataclass(frozen=True, slots=True)
class Batch:
    """One cell of the batch grid.

    Attributes:
        chunks: Indices of its chunks in the corpus.
        ids: (B, L) int32 tokens.
        first: First scored position of a chunk in stress mode.
        counted: (B, L - 1) bool, which positions are of the roles that count; None for all.
    """

    chunks: tuple[int, ...]
    ids: NDArray[np.int32]
    first: int
    counted: NDArray[np.bool_] | None = None


def tile_positions(size: int, positions: int, rows: int) -> int:
    """Positions of a tile of ``size`` chunks that holds about ``rows`` rows.

    Where it holds more than a few, a multiple of 128: a GPU multiplies matrices in blocks of rows,
    and one row more costs a block.
    """
    step = max(1, min(positions, rows // size))
    whole = _ROWS // math.gcd(_ROWS, size)
    return step if step == positions or step < whole else step // whole * whole


class NotFinite(SettingFailed):
    """A likelihood or a KL divergence of a lane is NaN or infinite.

    Attributes:
        row: Chunk of the batch, by its place in it.
        position: First such position of that chunk.
    """

    def __init__(self, row: int, position: int) -> None:
        super().__init__("no finite likelihood")
        self.row = row
        self.position = position


def not_finite(
    nll: NDArray[np.float64], batch: Batch, tile: Tile, first: int
) -> tuple[int, int] | None:
    """The first chunk of a batch, and its position, where the reference gives no likelihood.

    Args:
        nll: (B · T,) float64, −log p(target) of the reference in the tile, nats.
        batch: The chunks.
        tile: The tile.
        first: The first position that counts.
    """
    a, b = tile
    rows = nll.reshape(len(batch.chunks), b - a)[:, max(0, first - a) :]
    bad = np.argwhere(~np.isfinite(rows))
    if not len(bad):
        return None
    row, position = map(int, bad[0])
    return row, max(a, first) + position


def joined(lane: Lane, batch: Batch, parts: list[Part], lowest_kl: float) -> list[Positions]:
    """The scalars of all tiles, checked and cut into one Positions per chunk.

    Args:
        lane: Whose they are.
        batch: The chunks.
        parts: Tiles in order and without a gap.
        lowest_kl: What rounding may push a KL down to, nats.

    Raises:
        NotFinite: A likelihood is not finite.
        SettingFailed: A KL divergence is negative beyond rounding.
    """
    rows = len(batch.chunks)
    begin, end = parts[0][0][0], parts[-1][0][1]
    columns = {
        field.name: np.concatenate(
            [getattr(scalars, field.name).reshape(rows, b - a) for (a, b), scalars in parts], axis=1
        )
        for field in fields(TileScalars)
    }
    # Positions before the lane's first one are not scored and may hold anything.
    kept = slice(max(0, max(batch.first, lane.first_position) - begin), None)
    columns = {name: column[:, kept] for name, column in columns.items()}
    position = np.arange(begin, end, dtype=np.int32)[kept]
    _check(lane, batch, position, columns, lowest_kl)
    tokens = batch.ids[:, begin + 1 : end + 1].astype(np.int32)[:, kept]
    return [
        Positions(
            chunk=np.full(len(position), chunk, np.int32),
            position=position,
            token=tokens[row],
            **{name: column[row] for name, column in columns.items()},
        )
        for row, chunk in enumerate(batch.chunks)
    ]


def _check(
    lane: Lane,
    batch: Batch,
    position: NDArray[np.int32],
    columns: dict[str, NDArray[Any]],
    lowest_kl: float,
) -> None:
    """Check the scalars of a batch.

    Args:
        lane: Whose they are.
        batch: The B chunks.
        position: (T,) int32, the scored positions.
        columns: Fields of :class:`TileScalars` by name, each (B, T) in the field's dtype.
        lowest_kl: The lowest KL that rounding explains, nats.

    Raises:
        NotFinite: A likelihood is not finite.
        SettingFailed: A KL divergence is below ``lowest_kl``.
    """
    kl, nll = columns["kl"], columns["nll_quant"]
    infinite = np.isnan(kl) | ~np.isfinite(nll) | ~np.isfinite(columns["nll_ref"])
    bad = np.argwhere(infinite | (kl < lowest_kl))
    if not len(bad):
        return
    row, column = map(int, bad[0])
    if infinite[row, column]:
        raise NotFinite(row, int(position[column]))
    where = f"at chunk {batch.chunks[row]}, position {position[column]}"
    raise SettingFailed(
        f"setting `{lane.key}`: a KL divergence of {kl[row, column]:.3g} nats {where}",
        "it cannot be negative by more than rounding: this device computes wrongly; "
        "`qfid doctor` looks at it",
    )
