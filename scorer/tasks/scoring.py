"""Scores requests under the reference and every setting, with the loop that scores chunks."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

import mlx.core as mx

from scorer.common.device_kind import DeviceKind
from scorer.common.error_text import first_line
from scorer.common.errors import QfidError, WillNotFit
from scorer.common.out_of_memory import is_out_of_memory
from scorer.device.buffer_cache import keeping_buffers
from scorer.engine.batch_scorers import Scoring, batch_scorer
from scorer.engine.outcomes import LaneFailed, Scored, ScoreTask
from scorer.engine.prepared import Prepared
from scorer.fit.memory_need import KEPT_BUFFERS
from scorer.lanes.base import PendingPass, ReferenceLane
from scorer.lanes.kv.lane import KVLane
from scorer.lanes.weights.lane import WeightsLane
from scorer.metrics.reduce import Metrics
from scorer.stats.positions import FloatArray, IntArray, Positions
from scorer.tasks.requests import Batches, Score


class WholeLane:
    """A lane of a deployment whose full-precision prefix is scored too.

    In a request that the prefix covers, nothing is quantized: its answer is that of the full cache.

    Args:
        lane: The lane.

    Attributes:
        key: That of the lane.
        first_position: 0.
    """

    first_position = 0

    def __init__(self, lane: KVLane | WeightsLane) -> None:
        self._lane = lane
        self.key = lane.key

    def acquire(self) -> None:
        """Keep the lane's model loaded until :meth:`release`."""
        self._lane.acquire()

    def release(self) -> None:
        """Stop using the model."""
        self._lane.release()

    def unshared(self) -> WholeLane:
        """The same lane with nothing shared with other lanes but the model."""
        return WholeLane(self._lane.unshared())

    def begin(self, tokens: mx.array) -> PendingPass:
        """Dispatch a forward pass over tokens (B, T) int32."""
        if tokens.shape[1] <= self._lane.first_position:
            return ReferenceLane(self._lane.model).begin(tokens)
        return self._lane.begin(tokens)

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        """Logits (B, stop − start, V), see :meth:`~scorer.lanes.base.Lane.logits`."""
        return self._lane.logits(hidden, start, stop)


def whole_lanes(prepared: Prepared) -> dict[str, WholeLane]:
    """The lanes of every loaded set of weights, by key."""
    return {lane.key: WholeLane(lane) for lane in prepared.lanes()}


class TaskScoring(Scoring):
    """What a thread scores requests with."""

    def copied(self) -> TaskScoring:
        """The same for another thread, over the same weights."""
        prepared = self.prepared.copied()
        return dataclasses.replace(self, prepared=prepared, lanes=whole_lanes(prepared))


@dataclass(frozen=True, slots=True)
class BatchScores:
    """A setting is scored on a batch.

    Attributes:
        setting: Key of the setting.
        first: Number of the batch's first request.
        reference: What the full-precision model says, by request.
        scores: What the model under the setting says.
    """

    setting: str
    first: int
    reference: tuple[Score, ...]
    scores: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class SettingFault:
    """A setting gave no usable number and is given up."""

    setting: str
    error: QfidError


def score_requests(
    prepared: Prepared,
    batches: Batches,
    missing: Callable[[range], Collection[str]],
    device: DeviceKind,
    stop: Callable[[], bool],
) -> Iterator[BatchScores | SettingFault]:
    """Score what is missing, batch by batch.

    Args:
        prepared: The engine, ready.
        batches: The requests.
        missing: Of the requests of a batch, the settings that lack one.
        device: What computes.
        stop: Asked often; True ends it.

    Raises:
        Interrupted: ``stop`` said so.
        WillNotFit: Memory ran out.
    """
    lanes = whole_lanes(prepared)
    size = prepared.size
    tasks = [
        ScoreTask(batches.batch(numbers), [lanes[key] for key in lanes if key in wanted])
        for numbers in batches
        if (wanted := missing(numbers))
    ]
    if not tasks:
        return
    scoring = TaskScoring(prepared, None, lanes, Metrics.for_device(device), device, size, 0)
    scorer = batch_scorer(scoring, stop, batches=len(tasks))
    try:
        with keeping_buffers(size.workers * KEPT_BUFFERS if device == "cpu" else 0):
            for outcome in scorer.score(iter(tasks)):
                if isinstance(outcome, LaneFailed):
                    yield SettingFault(outcome.lane.key, outcome.error)
                elif isinstance(outcome, Scored):
                    yield _scores(outcome)
    except (MemoryError, RuntimeError, ValueError) as error:
        if not is_out_of_memory(error):
            raise
        shortage = first_line(error, empty="no message")
        raise WillNotFit(
            f"memory ran out while requests were scored: {shortage}",
            "a batch of 1 takes less; what is scored is saved, and asking again goes on",
        ) from None


def _scores(outcome: Scored) -> BatchScores:
    chunks = outcome.chunks
    return BatchScores(
        outcome.lane.key,
        int(chunks[0].chunk[0]),
        tuple(_score(each, each.nll_ref, each.top_ref) for each in chunks),
        tuple(_score(each, each.nll_quant, each.top_quant) for each in chunks),
    )


def _score(positions: Positions, nll: FloatArray, top: IntArray) -> Score:
    return Score(-math.fsum(nll.tolist()), bool((top == positions.token).all()))
