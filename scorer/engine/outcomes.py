"""What is given to whoever scores batches, and what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from scorer.common.errors import QfidError
from scorer.engine.tiles import Batch
from scorer.lanes.base import Findings, Lane
from scorer.spec.events import Event
from scorer.stats.noise_floor import PerturbedRepeats
from scorer.stats.positions import Positions


@dataclass(frozen=True, slots=True)
class ScoreTask:
    """A batch and the lanes to score on it, at least one."""

    batch: Batch
    lanes: Sequence[Lane]


@dataclass(frozen=True, slots=True)
class Scored:
    """A lane is scored on a batch.

    Attributes:
        lane: The lane.
        chunks: Its scalars, one Positions for each chunk of the batch.
        seconds: What it took; where batches are scored beside each other, its share of that time.
        findings: What the lane found out in its pass over this batch, or None.
        perturbed: What the perturbed repeats of the noise floor came to, by chunk.
    """

    lane: Lane
    chunks: list[Positions]
    seconds: float
    findings: Findings | None = None
    perturbed: Mapping[int, PerturbedRepeats] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LaneFailed:
    """A lane gave no usable number on a batch; it is not scored any further."""

    lane: Lane
    error: QfidError


@dataclass(frozen=True, slots=True)
class PassDone:
    """A forward pass is done.

    Attributes:
        batch: The batch.
        lane: The lane, or None for the reference.
        done: Passes of the batch done so far, perturbed repeats included.
        total: Passes of the batch.
    """

    batch: Batch
    lane: Lane | None
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class NoiseNotReached:
    """The noise floor's perturbation does not reach the embeddings of this model."""


@dataclass(frozen=True, slots=True)
class Told:
    """Something to be told as it is."""

    event: Event


Outcome = Scored | LaneFailed | PassDone | NoiseNotReached | Told


class BatchScorer(Protocol):
    """Scores batches: in this thread, or in several."""

    @property
    def at_once(self) -> int:
        """How many batches it scores at once."""

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        """Score batches; each is taken from ``tasks`` no earlier than somebody is free for it.

        Yields:
            A PassDone after every forward, as they come. A Scored or LaneFailed for every lane of
            every batch, in the order of ``tasks``; nothing of a lane after it failed.

        Raises:
            Interrupted: The run was asked to stop.
        """
