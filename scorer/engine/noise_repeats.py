"""The perturbed repeats of a batch, from which the noise floor of its settings is made.

Source: definitions, "Noise floor"; ``scorer.lanes.noise`` says what is perturbed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator

from scorer.device.memory import memory_in_use
from scorer.engine.loop import Loop, Pass, Scored, Work
from scorer.lanes.base import ReferenceLane
from scorer.lanes.noise import EmbeddingNoise, PerturbedLane, PerturbedReference
from scorer.spec.events import Progress

KLSums = dict[tuple[str, int], list[float]]
"""Sums of KL over a chunk, nats, one of each perturbed repeat, by setting and chunk."""


def perturbed_sums(
    work: Work,
    reference: ReferenceLane,
    loop_of: Callable[[ReferenceLane], Loop],
    repeats: int,
) -> Generator[Progress, None, KLSums | None]:
    """Score a batch with perturbed embeddings, several times.

    Args:
        work: The batch and its lanes.
        reference: The full-precision lane.
        loop_of: Makes the loop that compares with a reference.
        repeats: How often.

    Returns:
        The sums; None where the noise does not reach the model's embeddings.
    """
    sums: KLSums = {}
    batch = work.batch
    for repeat in range(repeats):
        noise = EmbeddingNoise(repeat, batch.chunks, batch.ids.shape[1] - 1)
        perturbed = Work(batch, [PerturbedLane(lane, noise) for lane in work.lanes])
        for outcome in loop_of(PerturbedReference(reference, noise)).score([perturbed]):
            if isinstance(outcome, Pass):
                yield progress_of(outcome, repeat, repeats)
            elif isinstance(outcome, Scored):
                for positions in outcome.chunks:
                    key = str(outcome.lane.setting), int(positions.chunk[0])
                    sums.setdefault(key, []).append(float(positions.kl.sum()))
        if not noise.reached:
            return None
    return sums


def progress_of(made: Pass, repeat: int, repeats: int) -> Progress:
    """How far a batch is.

    Args:
        made: The forward pass that is done.
        repeat: Perturbed repeats of the batch that were complete before it.
        repeats: Perturbed repeats of the batch in all; the plain passes follow them.
    """
    name = "" if made.lane is None else str(made.lane.setting)
    done, passes = repeat * made.total + made.done, (repeats + 1) * made.total
    return Progress(made.batch.chunks[0], name, done, passes, memory_in_use())
