"""Where the time of scoring goes: lanes and metrics that keep time, with a wait after each step.

The waits cost a GPU its overlap, so shares are taken in a pass of their own.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.lanes.base import Lane, PendingPass
from scorer.metrics.definition import TileScalars
from scorer.metrics.reduce import Metrics, PendingScalars, ReferenceTile, wait_for

REFERENCE, QUANTIZED, METRICS, SAVING, HOST = "reference", "quantized", "metrics", "saving", "host"


class Clock:
    """Seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def running(self, name: str) -> Iterator[None]:
        """Count the block's seconds."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - start

    def shares(self, total: float) -> dict[str, float]:
        """Parts of ``total`` seconds; the rest is the host's."""
        known = {
            name: self.seconds[name] / total for name in (REFERENCE, QUANTIZED, METRICS, SAVING)
        }
        return {**known, HOST: max(0.0, 1 - sum(known.values()))}


class TimedLane:
    """A lane whose forward passes, tail included, are counted under a name.

    Args:
        lane: The lane.
        clock: What counts.
        name: The name.

    Attributes:
        key: That of the lane.
        first_position: That of the lane.
        acquire: That of the lane.
        release: That of the lane.
    """

    def __init__(self, lane: Lane, clock: Clock, name: str) -> None:
        self._lane, self._clock, self._name = lane, clock, name
        self.key, self.first_position = lane.key, lane.first_position
        self.acquire, self.release = lane.acquire, lane.release

    def begin(self, tokens: mx.array) -> PendingPass:
        """Run a forward pass over tokens (B, T) int32 and wait for it."""
        with self._clock.running(self._name):
            made = self._lane.begin(tokens)
            mx.eval(made.states.load(), *made.checks)
        return made

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        """Logits (B, stop − start, V), compute dtype or float32, evaluated."""
        with self._clock.running(self._name):
            logits = self._lane.logits(hidden, start, stop)
            mx.eval(logits)
        return logits


class TimedMetrics(Metrics):
    """Metrics whose reductions are counted."""

    def __init__(self, metrics: Metrics, clock: Clock) -> None:
        self._metrics, self._clock = metrics, clock
        self.lowest_kl = metrics.lowest_kl

    def reference(self, logits: mx.array, targets: mx.array) -> ReferenceTile:
        """Wait for the part of logits (B, T, V) of any float dtype and targets (B, T) int32."""
        with self._clock.running(METRICS):
            tile = self._metrics.reference(logits, targets)
            tile.wait()
        return _TimedTile(tile, self._clock)


class _TimedTile:
    """A tile whose comparisons are counted."""

    def __init__(self, tile: ReferenceTile, clock: Clock) -> None:
        self._tile, self._clock = tile, clock
        self.wait = tile.wait

    @property
    def nll(self) -> NDArray[np.float64]:
        """(B · T,) float64, −log p(target) of the reference, nats."""
        return self._tile.nll

    def compare(self, logits: mx.array) -> TileScalars:
        """Return the scalars of a candidate's logits, (B, T, V) of any float dtype."""
        return self._tile.compare(logits)

    def start(self, logits: mx.array) -> PendingScalars:
        """Compare with logits (B, T, V) of any float dtype, and wait for the result."""
        with self._clock.running(METRICS):
            started = self._tile.start(logits)
            wait_for(started)
        return started
