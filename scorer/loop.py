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

import mlx.core as mx

from scorer.errors import Interrupted, QfidError, SettingFailed
from scorer.kernels import Metrics, ReferenceTile
from scorer.lanes import Begun, KVLane, ReferenceLane
from scorer.positions import Positions
from scorer.tiles import Batch, Part, Tile, check_reference, checked, joined, tile_positions

# Twice the bytes of float32 reference logits that are kept for a batch, and bytes of one tile.
KEEP_BYTES = 1 << 30
TILE_BYTES = 256 << 20
AHEAD = 1
"""Steps a GPU is given before the one it works on is waited for."""


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
        ahead: Steps begun before the oldest is waited for; 0 where the host computes itself.
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
        for step in self._steps(works):
            if self.stop():
                raise Interrupted("stopped")
            begun = time.perf_counter()
            try:
                waiting.append(_Waiting(step, begun, step.begin()))
            except SettingFailed as error:
                waiting.append(_Waiting(step, begun, _raising(error)))
            while len(waiting) > self.ahead:
                yield from self._settle(waiting.popleft())
        while waiting:
            yield from self._settle(waiting.popleft())

    def _settle(self, waiting: _Waiting) -> Iterator[Outcome]:
        """Wait for a step and say what came of it."""
        step = waiting.step
        if step.lane in self._given_up:
            return
        try:
            found = waiting.finish()
        except SettingFailed as error:
            assert step.lane is not None
            self._given_up.add(step.lane)
            yield LaneFailed(step.lane, error)
            return
        now = time.perf_counter()
        state = step.state
        if step.lane is not None:
            # Before the step ahead was done this one's turn had not come.
            since = max(waiting.begun, state.clock) if self.ahead else waiting.begun
            state.seconds[step.lane] = state.seconds.get(step.lane, 0.0) + now - since
        state.clock = now
        if found is not None:
            yield found

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
        yield _Step(state, None, lambda: self._reference_pass(state, total))

        def scored(lane: KVLane) -> _Step:
            def begin() -> _Finish:
                # Its tiles are begun: nobody reads the states again.
                state.passes.pop(lane, None)
                return lambda: _scored(state, lane)

            return _Step(state, lane, begin)

        if 8 * self._vocab * size * (positions - tiles[0][0]) <= self._keep_bytes:
            # Each setting is reduced as soon as it is done.
            for tile in tiles:
                yield self._reference_step(state, tile)
            for done, lane in enumerate(lanes, start=2):
                yield self._pass_step(state, lane, done, total)
                for tile in tiles:
                    yield self._tile_step(state, lane, tile)
                yield scored(lane)
            return
        # All bodies first, then every tile once through the tail of the reference and all lanes.
        for done, lane in enumerate(lanes, start=2):
            yield self._pass_step(state, lane, done, total)
        for tile in tiles:
            yield self._reference_step(state, tile)
            for lane in lanes:
                yield self._tile_step(state, lane, tile)
            del state.references[tile]
        for lane in lanes:
            yield scored(lane)

    def _reference_pass(self, state: _State, total: int) -> _Finish:
        begun = state.passes[None] = self.reference.begin(state.tokens)

        def finish() -> Pass:
            begun.finish()
            return Pass(state.batch, None, 1, total)

        return finish

    def _pass_step(self, state: _State, lane: KVLane, done: int, total: int) -> _Step:
        def begin() -> _Finish:
            begun = state.passes[lane] = lane.begin(state.tokens)

            def finish() -> Pass:
                begun.finish()
                return Pass(state.batch, lane, done, total)

            return finish

        return _Step(state, lane, begin)

    def _reference_step(self, state: _State, tile: Tile) -> _Step:
        def begin() -> _Finish:
            a, b = tile
            logits = self.reference.logits(state.passes[None].states, a, b)
            made = self.metrics.reference(logits, state.batch.ids[:, a + 1 : b + 1])
            state.references[tile] = made
            return lambda: check_reference(made, state.batch, tile)

        return _Step(state, None, begin)

    def _tile_step(self, state: _State, lane: KVLane, tile: Tile) -> _Step:
        def begin() -> _Finish:
            begun = state.passes.get(lane)
            if begun is None or lane in self._given_up:
                return _nothing
            reference = state.references[tile]
            scalars = reference.start(lane.logits(begun.states, *tile))

            def finish() -> None:
                part = checked(lane, tile, reference, state.batch, scalars())
                state.parts.setdefault(lane, []).append(part)

            return finish

        return _Step(state, lane, begin)


_Finish = Callable[[], Outcome | None]


@dataclass(slots=True)
class _State:
    """What is known of a batch while its steps are worked on; None is the reference."""

    batch: Batch
    tokens: mx.array = field(init=False)
    passes: dict[KVLane | None, Begun] = field(default_factory=dict)
    references: dict[Tile, ReferenceTile] = field(default_factory=dict)
    parts: dict[KVLane, list[Part]] = field(default_factory=dict)
    seconds: dict[KVLane, float] = field(default_factory=dict)
    clock: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = mx.array(self.batch.ids[:, :-1])


@dataclass(frozen=True, slots=True)
class _Step:
    """Something the device does: ``begin`` starts it and gives what waits for it."""

    state: _State
    lane: KVLane | None
    begin: Callable[[], _Finish]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A step begun at a time in seconds."""

    step: _Step
    begun: float
    finish: _Finish


def _nothing() -> None:
    """What waits for a step that did nothing."""


def _raising(error: SettingFailed) -> _Finish:
    def finish() -> None:
        raise error

    return finish


def _scored(state: _State, lane: KVLane) -> Scored:
    positions = joined(lane, state.batch, state.parts.pop(lane))
    return Scored(lane, positions, state.seconds[lane])
