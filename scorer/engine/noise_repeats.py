"""The perturbed repeats of a batch, from which the noise floor of its settings is made.

Source: definitions, "Noise floor"; ``scorer.lanes.noise`` says what is perturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scorer.common.errors import QfidError, SettingFailed
from scorer.engine.loop import Loop
from scorer.engine.outcomes import LaneFailed, NoiseNotReached, Outcome, PassDone, Scored, ScoreTask
from scorer.engine.tiles import Batch
from scorer.lanes.base import Lane
from scorer.lanes.noise import EmbeddingNoise, PerturbedLane, SharingLane
from scorer.stats.noise_floor import PerturbedRepeats

Made = dict[tuple[str, int], PerturbedRepeats]
"""What the perturbed repeats came to, by setting and chunk."""


@dataclass(slots=True)
class Repeats:
    """What the perturbed repeats of a batch gave.

    Attributes:
        made: See :data:`Made`.
        failed: Settings that gave no number in one of them, and why; they have no part in those
            after it.
        reached: Whether the noise reaches the model's embeddings.
    """

    made: Made = field(default_factory=dict)
    failed: dict[str, QfidError] = field(default_factory=dict)
    reached: bool = True


def perturbed_repeats(
    batch: Batch,
    lanes: Sequence[SharingLane],
    reference: SharingLane,
    loop_of: Callable[[Lane], Loop],
    repeats: int,
) -> Generator[PassDone, None, Repeats]:
    """Score a batch with perturbed embeddings, several times.

    Args:
        batch: The batch.
        lanes: What is compared with the reference.
        reference: The full-precision lane.
        loop_of: Makes the loop that compares with a reference.
        repeats: How often.
    """
    found = Repeats()
    for repeat in range(repeats):
        left = [lane for lane in lanes if lane.key not in found.failed]
        if not left:
            break
        noise = EmbeddingNoise(repeat, batch.chunks, batch.ids.shape[1] - 1)
        perturbed = ScoreTask(batch, [PerturbedLane(lane, noise) for lane in left])
        for outcome in loop_of(PerturbedLane(reference, noise)).score([perturbed]):
            if isinstance(outcome, PassDone):
                yield _counted(outcome, repeat, repeats)
            elif isinstance(outcome, LaneFailed):
                error = outcome.error
                which = f" (repeat {repeat + 1} of {repeats} for the noise floor)"
                found.failed[outcome.lane.key] = SettingFailed(error.message + which, error.hint)
            elif isinstance(outcome, Scored):
                for row, positions in enumerate(outcome.chunks):
                    key = outcome.lane.key, int(positions.chunk[0])
                    if batch.counted is not None:
                        positions = positions.select(batch.counted[row][positions.position])
                    before = found.made.get(key, PerturbedRepeats())
                    found.made[key] = before.and_one(positions.kl, int(positions.flips.sum()))
        if not noise.reached:
            return Repeats(reached=False)
    # An infinite KL has no spread, and no JSON.
    found.made = {key: made for key, made in found.made.items() if made.is_finite}
    return found


class RepeatingLoop:
    """Scores batches in this thread, each after the perturbed repeats of the noise floor.

    Args:
        reference: The full-precision lane.
        lanes: What is compared with it, by key. A task says which of them, by the keys of its own.
        loop_of: Makes the loop that compares with a reference.
        repeats: Perturbed repeats of every batch; 0 for none.

    Attributes:
        at_once: 1.
    """

    at_once = 1

    def __init__(
        self,
        reference: SharingLane,
        lanes: Mapping[str, SharingLane],
        loop_of: Callable[[Lane], Loop],
        repeats: int,
    ) -> None:
        self._reference = reference
        self._lanes = lanes
        self._loop_of = loop_of
        self._repeats = repeats

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        """Score batches, see :class:`scorer.engine.outcomes.BatchScorer`."""
        if self._repeats:
            for task in tasks:
                yield from self._repeated(task)
        else:
            own = (ScoreTask(task.batch, self._own(task)) for task in tasks)
            yield from self._loop_of(self._reference).score(own)

    def _own(self, task: ScoreTask) -> list[SharingLane]:
        return [self._lanes[lane.key] for lane in task.lanes]

    def _repeated(self, task: ScoreTask) -> Iterator[Outcome]:
        """Score a batch, after as many perturbed repeats as the noise floor asks for."""
        repeats, lanes = self._repeats, self._own(task)
        found = yield from perturbed_repeats(
            task.batch, lanes, self._reference, self._loop_of, repeats
        )
        for lane in lanes:
            if lane.key in found.failed:
                yield LaneFailed(lane, found.failed[lane.key])
        if not found.reached:
            self._repeats = 0
            yield NoiseNotReached()
        left = [lane for lane in lanes if lane.key not in found.failed]
        if not left:
            return
        for outcome in self._loop_of(self._reference).score([ScoreTask(task.batch, left)]):
            if isinstance(outcome, PassDone):
                yield _counted(outcome, repeats, repeats)
            elif isinstance(outcome, Scored):
                chunks = [int(positions.chunk[0]) for positions in outcome.chunks]
                key = outcome.lane.key
                made = {c: found.made[key, c] for c in chunks if (key, c) in found.made}
                yield replace(outcome, perturbed=made)
            else:
                yield outcome


def _counted(made: PassDone, repeat: int, repeats: int) -> PassDone:
    """A pass as one of all passes of its batch.

    Args:
        made: The pass, counted among those of its repeat.
        repeat: Perturbed repeats of the batch that were complete before it.
        repeats: Perturbed repeats of the batch in all; the plain passes follow them.
    """
    done, total = repeat * made.total + made.done, (repeats + 1) * made.total
    return replace(made, done=done, total=total)
