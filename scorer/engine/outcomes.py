"""What the loop is given, and what comes out of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from scorer.common.errors import QfidError
from scorer.engine.tiles import Batch
from scorer.lanes.base import Findings, Lane
from scorer.spec.events import Event
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
        seconds: What it took.
        findings: What the lane found out in its pass over this batch, or None.
    """

    lane: Lane
    chunks: list[Positions]
    seconds: float
    findings: Findings | None = None


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
        done: Passes of the batch done so far.
        total: Passes of the batch.
    """

    batch: Batch
    lane: Lane | None
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Told:
    """Something to be told as it is."""

    event: Event


Outcome = Scored | LaneFailed | PassDone | Told


class BatchScorer(Protocol):
    """Scores batches: the loop, or several that share the work."""

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        """Score batches, see :meth:`scorer.engine.loop.Loop.score`."""
