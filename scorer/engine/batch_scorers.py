"""Who scores the batches of a run: this thread alone, or a worker on each core."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.common.device_kind import DeviceKind
from scorer.common.process_limits import startable_threads
from scorer.device.pipeline import choose_pipeline
from scorer.engine.loop import Loop
from scorer.engine.noise_repeats import RepeatingLoop
from scorer.engine.outcomes import BatchScorer
from scorer.engine.prepared import Prepared
from scorer.engine.workers import Stop, Worker, Workers
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import Lane
from scorer.lanes.kept_reference import KeptReference
from scorer.lanes.noise import SharingLane
from scorer.lm.caches import fresh_caches
from scorer.lm.split_model import SplitModel
from scorer.metrics.reduce import Metrics

# A worker is a thread, and its stream of MLX another.
_THREADS_EACH = 2
# Tokens with which a thread shows that it can run the models.
_PROBE = 4


@dataclass(frozen=True, slots=True)
class Scoring:
    """Everything that a thread scores batches with.

    Attributes:
        prepared: The job; its models are this thread's own.
        kept: The reference where weights take turns, over the model of ``prepared``; else None.
        lanes: What is compared with the reference, by key.
        metrics: How logits become scalars.
        device: What computes.
        size: How much goes through a model at once.
        repeats: Perturbed repeats of every batch, for the noise floor.
    """

    prepared: Prepared
    kept: KeptReference | None
    lanes: Mapping[str, SharingLane]
    metrics: Metrics
    device: DeviceKind
    size: PassSize
    repeats: int

    @property
    def reference(self) -> KeptReference | SharingLane:
        """What the lanes are compared with."""
        return self.prepared.reference if self.kept is None else self.kept

    def scorer(self, stop: Stop) -> BatchScorer:
        """What scores in the thread that these lanes belong to."""
        return RepeatingLoop(
            self.reference, self.lanes, partial(self._loop, stop=stop), self.repeats
        )

    def _loop(self, reference: Lane, *, stop: Stop) -> Loop:
        size = self.size
        pipeline = choose_pipeline(self.device, size.batch)
        for split in self.prepared.splits():
            split.layers_ahead = pipeline.layers
        return Loop(
            reference,
            self.metrics,
            self.prepared.vocab,
            stop,
            tile_bytes=size.tile_bytes,
            keep_bytes=size.keep_bytes,
            ahead=pipeline.tiles,
        )

    def copied(self) -> Scoring:
        """The same for another thread, over the same weights."""
        prepared = self.prepared.copied()
        kept = None if self.kept is None else self.kept.over(prepared.reference)
        lanes = {lane.key: lane for lane in prepared.lanes()}
        return replace(self, prepared=prepared, kept=kept, lanes=lanes)

    def whole_models(self) -> list[SplitModel]:
        """The loaded models that have their layers."""
        splits = self.prepared.splits()
        return splits[1:] if self.kept is not None and self.kept.released else splits


def batch_scorer(scoring: Scoring, stop: Stop, *, batches: int) -> BatchScorer:
    """What scores the batches of a run.

    Args:
        scoring: What this thread scores with.
        stop: Asked often; True ends the run.
        batches: How many batches are to be scored, or as many as there can be workers.
    """
    alone = scoring.scorer(stop)
    workers = min(scoring.size.workers, batches) if scoring.device == "cpu" else 1
    if workers > 1:
        workers = min(workers, startable_threads(workers * _THREADS_EACH) // _THREADS_EACH)
    if workers < 2 or _runs_code_of_its_own(scoring.prepared):
        return alone
    tokens = mx.array(scoring.prepared.corpus.ids[:1, :_PROBE])
    expected = [_logits(split, tokens) for split in scoring.whole_models()]

    def worker(own: Scoring, release: Callable[[], None]) -> Worker:
        return Worker(own.scorer, partial(_computes, own, expected), release)

    def made() -> list[Worker]:
        copies = [scoring.copied() for _ in range(1, workers)]
        own = [worker(copy, copy.prepared.release) for copy in copies]
        return [worker(scoring, _nothing), *own]

    return Workers(made, workers, stop, alone)


def _nothing() -> None:
    pass


def _runs_code_of_its_own(prepared: Prepared) -> bool:
    """Whether a model brings Python code, which may keep anything anywhere."""
    return any(info.code for info in (prepared.info, *(c.info for c in prepared.candidates)))


def _computes(scoring: Scoring, expected: list[NDArray[np.uint8]]) -> bool:
    """Whether models give in this thread what they gave in another, bit for bit.

    Not where an architecture keeps lazy arrays out of reach, or cannot be copied.
    """
    tokens = mx.array(scoring.prepared.corpus.ids[:1, :_PROBE])
    return all(
        np.array_equal(_logits(split, tokens), bits)
        for split, bits in zip(scoring.whole_models(), expected, strict=True)
    )


def _logits(split: SplitModel, tokens: mx.array) -> NDArray[np.uint8]:
    """The bytes of the logits of tokens (1, T) int32."""
    hidden = split.hidden(tokens, fresh_caches(split.model))
    logits = split.logits(hidden, 0, tokens.shape[1])
    return np.array(logits.reshape(-1).view(mx.uint8))
