"""The loop: batches of chunks in, per-position scalars of every lane out.

The reference runs once per batch and is shared by all lanes. Logits exist for one tile of
positions at a time; final hidden states, some sixty times smaller, are what is kept of a pass.

A batch is a sequence of steps: forward passes, tiles of the reference, tiles of a lane, reads. On a
GPU a step is started before the one ahead of it is waited for, also across the end of a batch, so
that the device computes while the host builds the next graph and reads the last result.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

import mlx.core as mx

from scorer.common.errors import Interrupted, SettingFailed
from scorer.device.dispatch import dispatch_read
from scorer.engine.not_finite import Place, explained, origin
from scorer.engine.outcomes import LaneFailed, Outcome, PassDone, Scored, ScoreTask
from scorer.engine.tiles import Batch, Tile, joined, not_finite, tile_positions
from scorer.lanes.base import Lane, PendingPass
from scorer.lm.patches import patched
from scorer.metrics.reduce import (
    Metrics,
    PendingScalars,
    ReferenceTile,
    arrays_of,
    scalars_of,
    wait_for,
)

# Twice the bytes of float32 reference logits that are kept for a batch, and bytes of one tile.
KEEP_BYTES = 1 << 30
TILE_BYTES = 256 << 20


class Loop:
    """Scores batch after batch.

    A lane's model is acquired before its pass over a batch and released once the batch is read; the
    reference's is kept from the first batch to the last.

    Args:
        reference: The lane that all others are compared with.
        metrics: How logits become scalars.
        vocab: Columns of the logits, for the size of a tile.
        stop: Asked before each step; True ends the loop.
        tile_bytes: Bytes of one tile of float32 logits; None for :data:`TILE_BYTES`.
        keep_bytes: Reference logits are kept for all lanes where twice their bytes are no more;
            None for :data:`KEEP_BYTES`.
        ahead: Tiles, or else one pass, started before the oldest step is waited for; 0 where the
            host computes itself.
    """

    def __init__(
        self,
        reference: Lane,
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
        self._failed: set[Lane] = set()
        self._acquired: Counter[Lane] = Counter()

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        """Score batches, each taken from ``tasks`` when the first of its steps is started.

        Yields:
            A PassDone after every forward, a Scored or LaneFailed for every lane.

        Raises:
            Interrupted: ``stop`` said so; nothing of the unfinished lanes is kept.
        """
        self.reference.acquire()
        try:
            with patched():
                yield from self._score(tasks)
        finally:
            for lane in self._acquired.elements():
                lane.release()
            self._acquired.clear()
            self.reference.release()

    def _score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        pending: deque[_PendingStep] = deque()
        reading: Iterator[Outcome] = iter(())
        for step in self._steps(tasks):
            if self.stop():
                yield from reading
                if any(one.step.is_read for one in pending):
                    # All of a batch is computed and only left to be read.
                    for one in pending:
                        yield from self._wait(one)
                raise Interrupted("stopped")
            started = time.perf_counter()
            try:
                pending.append(_PendingStep(step, started, step.start()))
            except SettingFailed as error:
                pending.append(_PendingStep(step, started, _raise(error)))
            while pending and (self._load(pending) > self.ahead or pending[0].step.is_read):
                one = pending.popleft()
                if one.step.is_read:
                    yield from reading
                    reading = iter(one.wait())
                else:
                    yield from self._wait(one)
            # Reading all lanes of a batch at once would take the host longer than a GPU has to
            # compute meanwhile: one for each step that is started.
            yield from islice(reading, 1) if self.ahead else reading
        yield from reading
        for one in pending:
            yield from self._wait(one)

    def _load(self, pending: Iterable[_PendingStep]) -> int:
        """What the device has to compute, in tiles; a pass counts as all that may be ahead."""
        passes = sum(one.step.is_pass for one in pending)
        tiles = sum(not (one.step.is_pass or one.step.is_read) for one in pending)
        return tiles + passes * max(1, self.ahead)

    def _wait(self, pending: _PendingStep) -> Iterator[Outcome]:
        """Wait for a step; yield its outcomes."""
        step = pending.step
        if step.lane in self._failed:
            return
        try:
            outcomes = pending.wait()
        except SettingFailed as error:
            assert step.lane is not None
            yield self._failure(step.state, step.lane, error)
            return
        now = time.perf_counter()
        state = step.state
        if step.lane is not None:
            # The device computed this step only after the one before it was done.
            since = max(pending.started, state.last_done) if self.ahead else pending.started
            state.seconds[step.lane] = state.seconds.get(step.lane, 0.0) + now - since
        state.last_done = now
        yield from outcomes

    def _failure(self, state: _BatchState, lane: Lane, error: SettingFailed) -> LaneFailed:
        """A lane is not scored any further; the error says where the number is missing."""
        self._failed.add(lane)
        fault = self._reference_fault(state, lane)
        return LaneFailed(lane, explained(error, lane, state.batch, fault))

    def _reference_fault(self, state: _BatchState, lane: Lane) -> Place | None:
        """Where the reference gives no number although the lane needs one; None if nowhere."""
        first = max(state.batch.first, lane.first_position)
        found = []
        for tile in state.tiles:
            if tile[1] > first:
                reference = state.references.get(tile) or self._reference_tile(state, tile)
                found.append(not_finite(reference.nll, state.batch, tile, first))
        seen = min(filter(None, found), default=None)
        if seen is None:
            return None
        if seen not in state.faults:
            state.faults[seen] = origin(self.reference, state.batch, Place(*seen))
        return state.faults[seen]

    # The steps of a batch

    def _steps(self, tasks: Iterable[ScoreTask]) -> Iterator[_Step]:
        for task in tasks:
            lanes = [lane for lane in task.lanes if lane not in self._failed]
            if lanes:
                yield from self._batch(_BatchState(task.batch), lanes)

    def _batch(self, state: _BatchState, lanes: list[Lane]) -> Iterator[_Step]:
        batch = state.batch
        size, length = batch.ids.shape
        total, positions = len(lanes) + 1, length - 1
        first = min(max(batch.first, lane.first_position) for lane in lanes)
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
        yield _Step(state, None, lambda: self._start_reference(state, total), is_pass=True)

        if 8 * self._vocab * size * (positions - tiles[0][0]) <= self._keep_bytes:
            # Each lane is reduced as soon as its pass is done.
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

    def _start_reference(self, state: _BatchState, total: int) -> _Wait:
        made = state.passes[None] = self.reference.begin(state.tokens)
        return _pass_wait(made, PassDone(state.batch, None, 1, total))

    def _pass_step(self, state: _BatchState, lane: Lane, done: int, total: int) -> _Step:
        def start() -> _Wait:
            lane.acquire()
            self._acquired[lane] += 1
            made = state.passes[lane] = lane.begin(state.tokens)
            return _pass_wait(made, PassDone(state.batch, lane, done, total))

        return _Step(state, lane, start, is_pass=True)

    def _release(self, lane: Lane) -> None:
        """Release a lane's model, if it was acquired for the batch that is read."""
        if self._acquired[lane]:
            self._acquired[lane] -= 1
            lane.release()

    def _reference_step(self, state: _BatchState, tile: Tile) -> _Step:
        def start() -> _Wait:
            made = state.references[tile] = self._reference_tile(state, tile)
            return _no_outcome(made.wait)

        return _Step(state, None, start)

    def _reference_tile(self, state: _BatchState, tile: Tile) -> ReferenceTile:
        a, b = tile
        logits = self.reference.logits(state.passes[None].states.load(), a, b)
        return self.metrics.reference(logits, state.ids[:, a + 1 : b + 1])

    def _tile_step(self, state: _BatchState, lane: Lane, tile: Tile) -> _Step:
        def start() -> _Wait:
            made = state.passes.get(lane)
            if made is None or lane in self._failed:
                return _nothing
            reference = state.references[tile]
            started = reference.start(lane.logits(made.states.load(), *tile))
            state.comparisons.setdefault(lane, []).append(started)
            return _no_outcome(lambda: wait_for(started))

        return _Step(state, lane, start)

    def _read_step(self, state: _BatchState, lanes: Sequence[Lane]) -> _Step:
        """Read the results of lanes whose tiles are all started.

        All of a batch in one piece where the device works ahead: it would wait for each.
        """

        def start() -> _Wait:
            computed = []
            for lane in lanes:
                made = state.passes.pop(lane, None)
                self._release(lane)
                if made is not None and lane not in self._failed:
                    tiles = state.comparisons.pop(lane)
                    arrays = [*made.checks, *(array for tile in tiles for array in arrays_of(tile))]
                    computed.append((lane, made.findings, len(made.checks), tiles, arrays))
            read = dispatch_read([array for *_, arrays in computed for array in arrays])

            def wait() -> Iterator[Outcome]:
                values = iter(read())
                for lane, findings_of, checks, tiles, arrays in computed:
                    own = list(islice(values, len(arrays)))
                    try:
                        findings = findings_of(own[:checks])
                        rest = iter(own[checks:])
                        scalars = [scalars_of(tile, rest) for tile in tiles]
                        parts = list(zip(state.tiles, scalars, strict=True))
                        chunks = joined(lane, state.batch, parts, self.metrics.lowest_kl)
                    except SettingFailed as error:
                        yield self._failure(state, lane, error)
                    else:
                        yield Scored(lane, chunks, state.seconds[lane], findings)

            return wait

        return _Step(state, None, start, is_read=True)


_Wait = Callable[[], Iterable[Outcome]]
"""Waits for what the device was given; returns what came of it."""


@dataclass(slots=True)
class _BatchState:
    """What is known of a batch while its steps are computed; lane None is the reference.

    Attributes:
        batch: The batch.
        ids: (B, L) its tokens.
        tokens: (B, L − 1) those that go through the models.
        passes: Passes whose logits are still to be computed.
        tiles: Tiles of positions in order.
        references: The reference's part of the tiles in memory.
        comparisons: By lane, its tiles compared so far, in order.
        seconds: By lane, what its steps took.
        last_done: When the last step was done, in seconds of ``time.perf_counter``.
        faults: Where the reference gives no number, by the chunk and position that show it.
    """

    batch: Batch
    ids: mx.array = field(init=False)
    tokens: mx.array = field(init=False)
    passes: dict[Lane | None, PendingPass] = field(default_factory=dict)
    tiles: list[Tile] = field(default_factory=list)
    references: dict[Tile, ReferenceTile] = field(default_factory=dict)
    comparisons: dict[Lane, list[PendingScalars]] = field(default_factory=dict)
    seconds: dict[Lane, float] = field(default_factory=dict)
    last_done: float = 0.0
    faults: dict[tuple[int, int], Place] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.ids = mx.array(self.batch.ids)
        self.tokens = self.ids[:, :-1]


@dataclass(frozen=True, slots=True)
class _Step:
    """Something for the device to compute.

    Attributes:
        state: Of its batch.
        lane: Whose time it is, or None.
        start: Gives it to the device; returns what waits for it.
        is_pass: Whether it is a forward pass.
        is_read: Whether it only reads results that are computed.
    """

    state: _BatchState
    lane: Lane | None
    start: Callable[[], _Wait]
    is_pass: bool = False
    is_read: bool = False


@dataclass(frozen=True, slots=True)
class _PendingStep:
    """A step that was started, at a time in seconds of ``time.perf_counter``."""

    step: _Step
    started: float
    wait: _Wait


def _nothing() -> Iterable[Outcome]:
    """The wait of a step that computes nothing."""
    return ()


def _no_outcome(wait: Callable[[], None]) -> _Wait:
    def waits() -> Iterable[Outcome]:
        wait()
        return ()

    return waits


def _pass_wait(made: PendingPass, outcome: PassDone) -> _Wait:
    def wait() -> Iterable[Outcome]:
        mx.eval(made.states.load())
        return (outcome,)

    return wait


def _raise(error: SettingFailed) -> _Wait:
    def wait() -> Iterable[Outcome]:
        raise error

    return wait
