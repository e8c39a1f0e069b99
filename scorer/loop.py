"""The loop: batches of chunks in, per-position scalars of every setting out.

The reference runs once per batch and is shared by all settings. Logits exist for one tile of
positions at a time; final hidden states, some sixty times smaller, are what is kept of a pass.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.drift import TileScalars
from scorer.errors import Interrupted, QfidError, SettingFailed
from scorer.kernels import Metrics, ReferenceTile
from scorer.lanes import KVLane, ReferenceLane
from scorer.positions import Positions

# Twice the bytes of float32 reference logits that are kept for a batch, and bytes of one tile.
KEEP_BYTES = 1 << 30
TILE_BYTES = 256 << 20
# Tiles begun before the one that is waited for: a GPU computes while the host reads.
AHEAD = 1
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


@dataclass(frozen=True, slots=True)
class Scored:
    """Scalars of one setting on one batch, a Positions for each chunk, and the seconds it took."""

    lane: KVLane
    chunks: list[Positions]
    seconds: float


@dataclass(frozen=True, slots=True)
class LaneFailed:
    """A setting that gave no usable number on this batch."""

    lane: KVLane
    error: QfidError


@dataclass(frozen=True, slots=True)
class Pass:
    """A forward pass is done: ``done`` of ``total`` in this batch; None is the reference."""

    lane: KVLane | None
    done: int
    total: int


def score_batch(
    reference: ReferenceLane,
    lanes: Sequence[KVLane],
    batch: Batch,
    metrics: Metrics,
    vocab: int,
    stop: Callable[[], bool],
    *,
    tile_bytes: int | None = None,
    keep_bytes: int | None = None,
) -> Iterator[Scored | LaneFailed | Pass]:
    """Score one batch: one reference forward and one per lane.

    Args:
        reference: The full-precision lane.
        lanes: The settings to score.
        batch: Tokens of the batch.
        metrics: How logits become scalars.
        vocab: Columns of the logits, for the size of a tile.
        stop: Asked between tiles and passes; True ends the batch.
        tile_bytes: Bytes of one tile of float32 logits; None for :data:`TILE_BYTES`.
        keep_bytes: Reference logits are kept for all lanes where twice their bytes are no more;
            None for :data:`KEEP_BYTES`.

    Yields:
        A Pass after every forward, a Scored or LaneFailed for every lane.

    Raises:
        Interrupted: ``stop`` said so; nothing of the unfinished lanes is kept.
        QfidError: The reference itself is not finite.
    """
    tokens = mx.array(batch.ids[:, :-1])
    size, positions = tokens.shape
    total = len(lanes) + 1
    hidden = reference.hidden(tokens)
    yield Pass(None, 1, total)
    first = min(max(batch.first, lane.setting.start) for lane in lanes)
    step = _tile_positions(size, positions, (tile_bytes or TILE_BYTES) // (4 * vocab))
    # Where tiles begin does not depend on which lanes are left to score: products of other shapes
    # are rounded otherwise, and a resumed run must come to the same bits.
    tiles = [
        (a, min(a + step, positions))
        for a in range(batch.first, positions, step)
        if a + step > first
    ]
    keep = KEEP_BYTES if keep_bytes is None else keep_bytes
    if 8 * vocab * size * (positions - tiles[0][0]) <= keep:
        kept: list[ReferenceTile] = []
        for tile in tiles:
            _check(stop)
            kept.append(_reference_tile(reference, hidden, batch, tile, metrics))
        for tile, kept_tile in zip(tiles, kept, strict=True):
            _check_reference(kept_tile, batch, tile)
        for done, lane in enumerate(lanes, start=2):
            _check(stop)
            start = time.perf_counter()
            try:
                own = lane.hidden(tokens)
                yield Pass(lane, done, total)
                waiting: deque[_Started] = deque()
                parts = []
                for tile, kept_tile in zip(tiles, kept, strict=True):
                    _check(stop)
                    waiting.append(_start(lane, own, tile, kept_tile, batch))
                    if len(waiting) > AHEAD:
                        parts.append(waiting.popleft()())
                parts += [finish() for finish in waiting]
                yield Scored(lane, _positions(lane, batch, parts), time.perf_counter() - start)
            except SettingFailed as error:
                yield LaneFailed(lane, error)
        return
    yield from _tile_by_tile(reference, hidden, lanes, batch, tokens, tiles, metrics, stop)


def _tile_positions(size: int, positions: int, rows: int) -> int:
    """Positions of a tile of ``size`` chunks that holds about ``rows`` rows.

    Where it holds more than a few, a multiple of 128: a GPU multiplies matrices in blocks of rows,
    and one row more costs a block.
    """
    step = max(1, min(positions, rows // size))
    whole = _ROWS // math.gcd(_ROWS, size)
    return step if step == positions or step < whole else step // whole * whole


def _tile_by_tile(
    reference: ReferenceLane,
    hidden: mx.array,
    lanes: Sequence[KVLane],
    batch: Batch,
    tokens: mx.array,
    tiles: list[tuple[int, int]],
    metrics: Metrics,
    stop: Callable[[], bool],
) -> Iterator[Scored | LaneFailed | Pass]:
    """All bodies first, then every tile once through the tail of the reference and all lanes."""
    states: dict[KVLane, mx.array] = {}
    seconds: dict[KVLane, float] = {}
    for done, lane in enumerate(lanes, start=2):
        _check(stop)
        start = time.perf_counter()
        try:
            states[lane] = lane.hidden(tokens)
        except SettingFailed as error:
            yield LaneFailed(lane, error)
            continue
        seconds[lane] = time.perf_counter() - start
        yield Pass(lane, done, len(lanes) + 1)
    parts: dict[KVLane, list[_Part]] = {lane: [] for lane in states}
    waiting: deque[tuple[KVLane, _Started]] = deque()

    def settled(left: int) -> Iterator[LaneFailed]:
        """Wait for comparisons begun until ``left`` of them are open."""
        while len(waiting) > left:
            lane, finish = waiting.popleft()
            if lane not in states:
                continue
            start = time.perf_counter()
            try:
                parts[lane].append(finish())
            except SettingFailed as error:
                del states[lane]
                yield LaneFailed(lane, error)
            seconds[lane] += time.perf_counter() - start

    for tile in tiles:
        _check(stop)
        reference_tile = _reference_tile(reference, hidden, batch, tile, metrics)
        checked = False
        for lane in list(states):
            _check(stop)
            start = time.perf_counter()
            if lane in states:
                begun = _start(lane, states[lane], tile, reference_tile, batch)
                waiting.append((lane, begun))
                seconds[lane] += time.perf_counter() - start
            if not checked:
                # With a lane's tile queued behind it the device does not stand still meanwhile.
                _check_reference(reference_tile, batch, tile)
                checked = True
            yield from settled(AHEAD)
    yield from settled(0)
    for lane in states:
        yield Scored(lane, _positions(lane, batch, parts[lane]), seconds[lane])


_Part = tuple[int, int, TileScalars]
_Started = Callable[[], _Part]


def _check(stop: Callable[[], bool]) -> None:
    if stop():
        raise Interrupted("stopped")


def _reference_tile(
    reference: ReferenceLane,
    hidden: mx.array,
    batch: Batch,
    tile: tuple[int, int],
    metrics: Metrics,
) -> ReferenceTile:
    a, b = tile
    return metrics.reference(reference.logits(hidden, a, b), batch.ids[:, a + 1 : b + 1])


def _check_reference(made: ReferenceTile, batch: Batch, tile: tuple[int, int]) -> None:
    a, b = tile
    bad = np.flatnonzero(~np.isfinite(made.nll))
    if len(bad):
        row, position = divmod(int(bad[0]), b - a)
        raise QfidError(
            f"the full-precision model gives no finite likelihood at chunk {batch.chunks[row]}, "
            f"position {a + position}",
            "its logits hold NaN or infinity there; nothing can be compared with it",
        )


def _start(
    lane: KVLane, states: mx.array, tile: tuple[int, int], reference: ReferenceTile, batch: Batch
) -> _Started:
    """Begin to compare a tile; called for, the result is looked at."""
    scalars = reference.start(lane.logits(states, *tile))
    return lambda: _checked(lane, tile, reference, batch, scalars())


def _checked(
    lane: KVLane,
    tile: tuple[int, int],
    reference: ReferenceTile,
    batch: Batch,
    scalars: TileScalars,
) -> _Part:
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


def _positions(lane: KVLane, batch: Batch, parts: list[_Part]) -> list[Positions]:
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
