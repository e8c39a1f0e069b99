"""The loop: batches of chunks in, per-position scalars of every setting out.

The reference runs once per batch and is shared by all settings. Logits exist for one tile of
positions at a time; final hidden states, some sixty times smaller, are what is kept of a pass.

A batch is a row of steps: forward passes, tiles of the reference, tiles of a setting. On a GPU a
step is begun before the one ahead of it is waited for, over the end of a batch too, so that the
device works while the host builds the next graph and reads the last result.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import mlx.core as mx

from scorer.common.errors import Interrupted, QfidError, SettingFailed
from scorer.device.dispatch import begin_reading
from scorer.engine.tiles import Batch, Tile, check_reference, joined, tile_positions
from scorer.lanes.base import Begun, ReferenceLane
from scorer.lanes.kv.lane import KVLane
from scorer.metrics.reduce import Metrics, ReferenceTile, Started, arrays_of, scalars_of, wait_for
from scorer.stats.positions import Positions

# Twice the bytes of float32 reference logits that are kept for a batch, and bytes of one tile.
KEEP_BYTES = 1 << 30
TILE_BYTES = 256 << 20


@dataclass(frozen=True, slots=True)
class Work:
    """A batch and the settings to score on it, at least one."""

    batch: Batch
    lanes: Sequence[KVLane]


@dataclass(frozen=True, slots=True)
class Scored:
    """Scalars of one setting on one batch, a Positions for each chunk, and the seconds it took."""

    lane: KVLane
    chunks: list[Positions]
    seconds: float


@dataclass(frozen=True, slots=True)
class LaneFailed:
    """A setting that gave no usable number on this batch; it is not gone on with."""

    lane: KVLane
    error: QfidError


@dataclass(frozen=True, slots=True)
class Pass:
    """A forward pass is done: ``done`` of ``total`` of a batch; None is the reference."""

    batch: Batch
    lane: KVLane | None
    done: int
    total: int


Outcome = Scored | LaneFailed | Pass


class Loop:
    """Scores batch after batch.

    Args:
        reference: The full-precision lane.
        metrics: How logits become scalars.
        vocab: Columns of the logits, for the size of a tile.
        stop: Asked before each step; True ends the loop.
        tile_bytes: Bytes of one tile of float32 logits; None for :data:`TILE_BYTES`.
        keep_bytes: Reference logits are kept for all lanes where twice their bytes are no more;
            None for :data:`KEEP_BYTES`.
        ahead: Tiles, or else one pass, begun before the oldest step is waited for; 0 where the host
            computes itself.
    """

    def __init__(
        self,
        reference: ReferenceLane,
        metrics: Metrics,
        vocab: int,
        stop: Callable[[], bool],
        *,
        tile_bytes: int | None = None,
        keep_bytes: int | None = None,
        ahead: int = 0,
    ) -> None:
        self.reference = reference
        self.metrics = metrics
        self.ahead = ahead
        self.stop = stop
        self._vocab = vocab
        self._tile_bytes = TILE_BYTES if tile_bytes is None else tile_bytes
        self._keep_bytes = KEEP_BYTES if keep_bytes is None else keep_bytes
        self._given_up: set[KVLane] = set()

    def score(self, works: Iterable[Work]) -> Iterator[Outcome]:
        """Score batches, each taken from ``works`` when the first of its steps is begun.

        Yields:
            A Pass after every forward, a Scored or LaneFailed for every lane.

        Raises:
            Interrupted: ``stop`` said so; nothing of the unfinished lanes is kept.
            QfidError: The reference itself is not finite.
        """
        waiting: deque[_Waiting] = deque()
        reading: Iterator[Outcome] = iter(())
        for step in self._steps(works):
            if self.stop():
                yield from reading
                if any(one.step.is_read for one in waiting):
                    # A batch is done but for reading it.
                    for one in waiting:
                        yield from self._settle(one)
                raise Interrupted("stopped")
            begun = time.perf_counter()
            try:
                waiting.append(_Waiting(step, begun, step.begin()))
            except SettingFailed as error:
                waiting.append(_Waiting(step, begun, _raising(error)))
            while waiting and (self._load(waiting) > self.ahead or waiting[0].step.is_read):
                one = waiting.popleft()
                if one.step.is_read:
                    yield from reading
                    reading = iter(one.finish())
                else:
                    yield from self._settle(one)
            # Reading all settings of a batch at once would take the host longer than a GPU has to
            # do meanwhile: one for each step that is begun.
            yield from islice(reading, 1) if self.ahead else reading
        yield from reading
        for one in waiting:
            yield from self._settle(one)

    def _load(self, waiting: Iterable[_Waiting]) -> int:
        """What the device has to do, in tiles; a pass counts as all it may be given ahead."""
        passes = sum(one.step.is_pass for one in waiting)
        tiles = sum(not (one.step.is_pass or one.step.is_read) for one in waiting)
        return tiles + passes * max(1, self.ahead)

    def _settle(self, waiting: _Waiting) -> Iterator[Outcome]:
        """Wait for a step and say what came of it."""
        step = waiting.step
        if step.lane in self._given_up:
            return
        try:
            found = waiting.finish()
        except SettingFailed as error:
            assert step.lane is not None
            yield self._failed(step.state, step.lane, error)
            return
        now = time.perf_counter()
        state = step.state
        if step.lane is not None:
            # Before the step ahead was done this one's turn had not come.
            since = max(waiting.begun, state.clock) if self.ahead else waiting.begun
            state.seconds[step.lane] = state.seconds.get(step.lane, 0.0) + now - since
        state.clock = now
        yield from found

    def _failed(self, state: _State, lane: KVLane, error: SettingFailed) -> LaneFailed:
        """A setting is given up, unless the reference itself gives no number."""
        for tile in state.tiles:
            made = state.references.get(tile) or self._reference_tile(state, tile)
            check_reference(made.nll, state.batch, tile)
        self._given_up.add(lane)
        return LaneFailed(lane, error)

    # The steps of a batch

    def _steps(self, works: Iterable[Work]) -> Iterator[_Step]:
        for work in works:
            lanes = [lane for lane in work.lanes if lane not in self._given_up]
            if lanes:
                yield from self._batch(_State(work.batch), lanes)

    def _batch(self, state: _State, lanes: list[KVLane]) -> Iterator[_Step]:
        batch = state.batch
        size, length = batch.ids.shape
        total, positions = len(lanes) + 1, length - 1
        first = min(max(batch.first, lane.setting.start) for lane in lanes)
        rows = self._tile_bytes // (4 * self._vocab)
        step = tile_positions(size, positions, rows)
        # Where tiles begin does not depend on which lanes are left to score: products of other
        # shapes are rounded otherwise, and a resumed run must come to the same bits.
        tiles = [
            (a, min(a + step, positions))
            for a in range(batch.first, positions, step)
            if a + step > first
        ]
        state.tiles = tiles
        yield _Step(state, None, lambda: self._reference_pass(state, total), is_pass=True)

        if 8 * self._vocab * size * (positions - tiles[0][0]) <= self._keep_bytes:
            # Each setting is reduced as soon as it is done.
            for tile in tiles:
                yield self._reference_step(state, tile)
            for done, lane in enumerate(lanes, start=2):
                yield self._pass_step(state, lane, done, total)
                for tile in tiles:
                    yield self._tile_step(state, lane, tile)
                if not self.ahead:
                    yield self._read_step(state, [lane])
            if self.ahead:
                yield self._read_step(state, lanes)
            return
        # All bodies first, then every tile once through the tail of the reference and all lanes.
        for done, lane in enumerate(lanes, start=2):
            yield self._pass_step(state, lane, done, total)
        for tile in tiles:
            yield self._reference_step(state, tile)
            for lane in lanes:
                yield self._tile_step(state, lane, tile)
            del state.references[tile]
        yield self._read_step(state, lanes)

    def _reference_pass(self, state: _State, total: int) -> _Finish:
        begun = state.passes[None] = self.reference.begin(state.tokens)
        return _told(begun, Pass(state.batch, None, 1, total))

    def _pass_step(self, state: _State, lane: KVLane, done: int, total: int) -> _Step:
        def begin() -> _Finish:
            begun = state.passes[lane] = lane.begin(state.tokens)
            return _told(begun, Pass(state.batch, lane, done, total))

        return _Step(state, lane, begin, is_pass=True)

    def _reference_step(self, state: _State, tile: Tile) -> _Step:
        def begin() -> _Finish:
            made = state.references[tile] = self._reference_tile(state, tile)
            return _waited(made.wait)

        return _Step(state, None, begin)

    def _reference_tile(self, state: _State, tile: Tile) -> ReferenceTile:
        a, b = tile
        logits = self.reference.logits(state.passes[None].states, a, b)
        return self.metrics.reference(logits, state.ids[:, a + 1 : b + 1])

    def _tile_step(self, state: _State, lane: KVLane, tile: Tile) -> _Step:
        def begin() -> _Finish:
            begun = state.passes.get(lane)
            if begun is None or lane in self._given_up:
                return _nothing
            reference = state.references[tile]
            started = reference.start(lane.logits(begun.states, *tile))
            state.started.setdefault(lane, []).append(started)
            return _waited(lambda: wait_for(started))

        return _Step(state, lane, begin)

    def _read_step(self, state: _State, lanes: Sequence[KVLane]) -> _Step:
        """Read what is known of lanes whose tiles are all begun.

        All of a batch in one piece where the device works ahead: it would wait for each.
        """

        def begin() -> _Finish:
            owed = []
            for lane in lanes:
                begun = state.passes.pop(lane, None)
                if begun is not None and lane not in self._given_up:
                    tiles = state.started.pop(lane)
                    arrays = [
                        *begun.checks,
                        *(array for tile in tiles for array in arrays_of(tile)),
                    ]
                    owed.append((lane, begun.settle, len(begun.checks), tiles, arrays))
            read = begin_reading([array for *_, arrays in owed for array in arrays])

            def finish() -> Iterator[Outcome]:
                found = iter(read())
                for lane, settle, checks, tiles, arrays in owed:
                    own = list(islice(found, len(arrays)))
                    try:
                        settle(own[:checks])
                        rest = iter(own[checks:])
                        scalars = [scalars_of(tile, rest) for tile in tiles]
                        parts = list(zip(state.tiles, scalars, strict=True))
                        chunks = joined(lane, state.batch, parts, self.metrics.lowest_kl)
                    except SettingFailed as error:
                        yield self._failed(state, lane, error)
                    else:
                        yield Scored(lane, chunks, state.seconds[lane])

            return finish

        return _Step(state, None, begin, is_read=True)


_Finish = Callable[[], Iterable[Outcome]]


@dataclass(slots=True)
class _State:
    """What is known of a batch while its steps are worked on; None is the reference."""

    batch: Batch
    ids: mx.array = field(init=False)
    tokens: mx.array = field(init=False)
    passes: dict[KVLane | None, Begun] = field(default_factory=dict)
    tiles: list[Tile] = field(default_factory=list)
    references: dict[Tile, ReferenceTile] = field(default_factory=dict)
    started: dict[KVLane, list[Started]] = field(default_factory=dict)
    seconds: dict[KVLane, float] = field(default_factory=dict)
    clock: float = 0.0

    def __post_init__(self) -> None:
        self.ids = mx.array(self.batch.ids)
        self.tokens = self.ids[:, :-1]


@dataclass(frozen=True, slots=True)
class _Step:
    """Something the device does: ``begin`` starts it and gives what waits for it.

    A pass is a step of its own weight; where a batch is read the device has nothing to do.
    """

    state: _State
    lane: KVLane | None
    begin: Callable[[], _Finish]
    is_pass: bool = False
    is_read: bool = False


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A step begun at a time in seconds."""

    step: _Step
    begun: float
    finish: _Finish


def _nothing() -> Iterable[Outcome]:
    """What waits for a step that did nothing."""
    return ()


def _waited(wait: Callable[[], None]) -> _Finish:
    def finish() -> Iterable[Outcome]:
        wait()
        return ()

    return finish


def _told(begun: Begun, outcome: Pass) -> _Finish:
    def finish() -> Iterable[Outcome]:
        mx.eval(begun.states)
        return (outcome,)

    return finish


def _raising(error: SettingFailed) -> _Finish:
    def finish() -> Iterable[Outcome]:
        raise error

    return finish
