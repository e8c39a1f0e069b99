"""Tiles of positions: how large they are, what is checked in each, how they are joined again."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from scorer.drift import TileScalars
from scorer.errors import QfidError, SettingFailed
from scorer.kernels import ReferenceTile
from scorer.lanes import KVLane
from scorer.positions import Positions

Tile = tuple[int, int]
"""First position and the one after the last."""
Part = tuple[int, int, TileScalars]
"""A tile and its scalars."""

_ROWS = 128


@dataclass(frozen=True, slots=True)
class Batch:
    """One cell of the batch grid.

    Attributes:
        chunks: Indices of its chunks in the corpus.
        ids: (B, L) int32 tokens.
        first: First scored position of a chunk in stress mode.
    """

    chunks: tuple[int, ...]
    ids: NDArray[np.int32]
    first: int


def tile_positions(size: int, positions: int, rows: int) -> int:
    """Positions of a tile of ``size`` chunks that holds about ``rows`` rows.

    Where it holds more than a few, a multiple of 128: a GPU multiplies matrices in blocks of rows,
    and one row more costs a block.
    """
    step = max(1, min(positions, rows // size))
    whole = _ROWS // math.gcd(_ROWS, size)
    return step if step == positions or step < whole else step // whole * whole


def check_reference(made: ReferenceTile, batch: Batch, tile: Tile) -> None:
    """Look whether the reference gives a likelihood everywhere.

    Raises:
        QfidError: It does not.
    """
    a, b = tile
    bad = np.flatnonzero(~np.isfinite(made.nll))
    if len(bad):
        row, position = divmod(int(bad[0]), b - a)
        raise QfidError(
            f"the full-precision model gives no finite likelihood at chunk {batch.chunks[row]}, "
            f"position {a + position}",
            "its logits hold NaN or infinity there; nothing can be compared with it",
        )


def checked(
    lane: KVLane,
    tile: Tile,
    reference: ReferenceTile,
    batch: Batch,
    scalars: TileScalars,
) -> Part:
    """A tile's scalars, looked at.

    Raises:
        SettingFailed: A likelihood is not finite, or a KL divergence is negative beyond rounding.
    """
    a, b = tile
    # Positions of a deployment's full-precision prefix are not scored and may hold anything.
    counted = np.tile(np.arange(a, b) >= lane.setting.start, len(batch.chunks))
    infinite = np.isnan(scalars.kl) | ~np.isfinite(scalars.nll_quant)
    bad = np.flatnonzero((infinite | (scalars.kl < reference.lowest_kl)) & counted)
    if len(bad):
        row, position = divmod(int(bad[0]), b - a)
        where = f"at chunk {batch.chunks[row]}, position {a + position}"
        if infinite[bad[0]]:
            raise SettingFailed(
                f"setting `{lane.setting}`: no finite likelihood {where}",
                "the quantized model's logits hold NaN or infinity there",
            )
        raise SettingFailed(
            f"setting `{lane.setting}`: a KL divergence of {scalars.kl[bad[0]]:.3g} nats {where}",
            "it cannot be negative by more than rounding: this device computes wrongly; "
            "`qfid doctor` looks at it",
        )
    return a, b, scalars


def joined(lane: KVLane, batch: Batch, parts: list[Part]) -> list[Positions]:
    """The parts of all tiles, in order and without a gap, cut into one Positions per chunk."""
    begin, end = parts[0][0], parts[-1][1]
    kept = slice(max(0, max(batch.first, lane.setting.start) - begin), None)
    columns = {
        field.name: np.concatenate(
            [
                getattr(scalars, field.name).reshape(len(batch.chunks), b - a)
                for a, b, scalars in parts
            ],
            axis=1,
        )[:, kept]
        for field in fields(TileScalars)
    }
    position = np.arange(begin, end, dtype=np.int32)[kept]
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
