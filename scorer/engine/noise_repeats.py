"""The perturbed repeats of a batch, from which the noise floor of its settings is made.

Source: definitions, "Noise floor"; ``scorer.lanes.noise`` says what is perturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence

from scorer.device.memory import memory_in_use
from scorer.engine.loop import Loop
from scorer.engine.outcomes import PassDone, Scored, ScoreTask
from scorer.engine.tiles import Batch
from scorer.lanes.base import Lane
from scorer.lanes.noise import EmbeddingNoise, PerturbedLane, SharingLane
from scorer.spec.events import Progress
from scorer.stats.noise_floor import PerturbedRepeats

Repeats = dict[tuple[str, int], PerturbedRepeats]
"""What the perturbed repeats came to, by setting and chunk."""


def perturbed_repeats(
    batch: Batch,
    lanes: Sequence[SharingLane],
    reference: SharingLane,
    loop_of: Callable[[Lane], Loop],
    repeats: int,
) -> Generator[Progress, None, Repeats | None]:
    """Score a batch with perturbed embeddings, several times.

    Args:
        batch: The batch.
        lanes: What is compared with the reference.
        reference: The full-precision lane.
        loop_of: Makes the loop that compares with a reference.
        repeats: How often.

    Returns:
        What they came to; None where the noise does not reach the model's embeddings.
    """
    found: Repeats = {}
    for repeat in range(repeats):
        noise = EmbeddingNoise(repeat, batch.chunks, batch.ids.shape[1] - 1)
        perturbed = ScoreTask(batch, [PerturbedLane(lane, noise) for lane in lanes])
        for outcome in loop_of(PerturbedLane(reference, noise)).score([perturbed]):
            if isinstance(outcome, PassDone):
                yield progress_of(outcome, repeat, repeats)
            elif isinstance(outcome, Scored):
                for positions in outcome.chunks:
                    key = outcome.lane.key, int(positions.chunk[0])
                    before = found.get(key, PerturbedRepeats())
                    found[key] = before.and_one(positions.kl, int(positions.flips.sum()))
        if not noise.reached:
            return None
    # An infinite KL has no spread, and no JSON.
    return {key: made for key, made in found.items() if made.is_finite}


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
