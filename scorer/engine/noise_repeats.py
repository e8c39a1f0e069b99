"""The perturbed repeats of a batch, from which the noise floor of its settings is made.

Source: definitions, "Noise floor"; ``scorer.lanes.noise`` says what is perturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field

from scorer.common.errors import QfidError, SettingFailed
from scorer.device.memory import memory_in_use
from scorer.engine.loop import Loop
from scorer.engine.outcomes import LaneFailed, PassDone, Scored, ScoreTask
from scorer.engine.tiles import Batch
from scorer.lanes.base import Lane
from scorer.lanes.noise import EmbeddingNoise, PerturbedLane, SharingLane
from scorer.spec.events import Progress
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
) -> Generator[Progress, None, Repeats]:
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
                yield progress_of(outcome, repeat, repeats)
            elif isinstance(outcome, LaneFailed):
                error = outcome.error
                which = f" (repeat {repeat + 1} of {repeats} for the noise floor)"
                found.failed[outcome.lane.key] = SettingFailed(error.message + which, error.hint)
            elif isinstance(outcome, Scored):
                for positions in outcome.chunks:
                    key = outcome.lane.key, int(positions.chunk[0])
                    before = found.made.get(key, PerturbedRepeats())
                    found.made[key] = before.and_one(positions.kl, int(positions.flips.sum()))
        if not noise.reached:
            return Repeats(reached=False)
    # An infinite KL has no spread, and no JSON.
    found.made = {key: made for key, made in found.made.items() if made.is_finite}
    return found


def progress_of(made: PassDone, repeat: int, repeats: int) -> Progress:
    """How far a batch is.

    Args:
        made: The forward pass that is done.
        repeat: Perturbed repeats of the batch that were complete before it.
        repeats: Perturbed repeats of the batch in all; the plain passes follow them.
    """
    name = "" if made.lane is None else made.lane.key
    done, passes = repeat * made.total + made.done, (repeats + 1) * made.total
    return Progress(made.batch.chunks[0], name, done, passes, memory_in_use())
