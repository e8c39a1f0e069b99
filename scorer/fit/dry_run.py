"""What a job would take: passes, memory, disk and time, before anything is loaded. Imports no mlx.

The time rests on an earlier run of the model where there is one, else on a product of matrices that
was timed just now; see :func:`seconds_by_product`.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import QfidError, WillNotFit
from scorer.device.host_memory import HostMemory
from scorer.fit.fitting import fitting
from scorer.fit.memory_need import layers_bytes, need
from scorer.fit.pass_size import PassSize, default_batch
from scorer.models.gguf.file import open_gguf
from scorer.models.gguf.same_model import GGUFWeights, gguf_weights, require_gguf_package
from scorer.models.info import ModelInfo
from scorer.models.model_difference import check_same_but_tokenizer
from scorer.models.predicted_precision import predicted_precision
from scorer.models.resolve import resolve_model
from scorer.models.sizes import ModelSizes, model_sizes
from scorer.spec.job import Job
from scorer.spec.settings.weights import MadeWeights, StoredWeights, WeightsSource, sources_of

POSITION_BYTES = 62
"""Bytes of a stored position: the columns of ``positions.arrow``, and a little for each batch."""

OVERHEAD = 2.0
"""Seconds of a scored pass by those of its matrix products alone; attention, quantizing and the
reduction of logits to scalars are the rest. A round number: a run of a model of 135 million
parameters on a busy CPU took 0.6 to 0.8 of what it gives, one of 3 million a third."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """How the weights of a job share the memory that scores it.

    Attributes:
        together: Bytes with all weights loaded.
        needed: Bytes of the way that is taken.
        in_turns: Whether sets of weights take turns.
        free: Bytes that can be used.
        fits: Whether that way fits.
    """

    together: int
    needed: int
    in_turns: bool
    free: int
    fits: bool


def passes_per_chunk(job: Job) -> int:
    """Forward passes of a chunk: the reference, every setting, controls, and perturbed repeats."""
    lanes = set(job.settings)
    if job.control:
        lanes |= {control for one in job.settings if (control := one.control()) is not None}
    return (1 + len(lanes)) * (1 + job.noise_floor)


def source_bytes(source: WeightsSource, sizes: ModelSizes, device: DeviceKind) -> int:
    """About how many bytes of memory a set of weights takes on a device that scores.

    Args:
        source: The weights.
        sizes: Sizes of the model that holds them: the reference for weights made of it.
        device: The device; the CPU computes with dense float32 weights.
    """
    if device == "cpu":
        return sizes.dense_bytes
    if isinstance(source, MadeWeights):
        # Scales and biases, 16 bit each, are a few hundredths of a group.
        return int(sizes.dense_bytes * (source.bits / 32 + 1 / source.group_size))
    return sizes.stored_bytes


def memory_plan(job: Job, info: ModelInfo, device: DeviceKind, memory: HostMemory) -> MemoryPlan:
    """Whether all weights of a job fit in memory together, by the scorer's own estimate.

    Args:
        job: The job.
        info: The reference.
        device: The device that scores.
        memory: Its memory.

    Raises:
        InputError: A candidate cannot be found.
    """
    sizes = model_sizes(info)
    sets = []
    for source in sources_of(job.settings):
        own = sizes
        if isinstance(source, StoredWeights) and source.is_gguf:
            own = _gguf(source, info).sizes(info)
        elif isinstance(source, StoredWeights):
            found = resolve_model(source.model, source.revision, allow_custom_code=True)
            own = model_sizes(found)
        sets.append(source_bytes(source, own, device))
    wanted = PassSize(job.batch or default_batch(device, job.chunk_length))

    def needed(beside: int) -> tuple[int, bool]:
        try:
            size = fitting(sizes, job, device, memory, name=info.name, wanted=wanted, beside=beside)
        except WillNotFit:
            smallest = [*wanted.sizes()][-1]
            return need(sizes, job, device, smallest, beside=beside).total, False
        return need(sizes, job, device, size, beside=beside).total, True

    together, fits = needed(sum(sets))
    if not sets or (fits and not job.one_at_a_time):
        return MemoryPlan(together, together, False, memory.available, fits)
    turns, fits = needed(max(0, max(sets) - layers_bytes(sizes, device)))
    return MemoryPlan(together, turns, True, memory.available, fits)


def states_bytes(info: ModelInfo, job: Job, device: DeviceKind) -> int:
    """Bytes on disk of the reference's states of one chunk, where weights take turns."""
    sizes = model_sizes(info)
    element = 4 if device == "cpu" else sizes.element_bytes
    return (job.chunk_length - 1) * sizes.hidden * element


def product_shape(info: ModelInfo, job: Job) -> tuple[int, int, int]:
    """Rows, inner elements and columns of a product as the model's layers compute it.

    Not smaller than what takes a few milliseconds: the time of less says little.
    """
    sizes = model_sizes(info)
    return job.chunk_length - 1, max(512, sizes.hidden), max(2048, sizes.inner)


def seconds_by_product(info: ModelInfo, job: Job, flop_per_second: float) -> float:
    """Seconds of a pass of one chunk: 2 × parameters FLOP a token, times :data:`OVERHEAD`.

    Args:
        info: The reference.
        job: The job.
        flop_per_second: What the device reached in a product of :func:`product_shape`.
    """
    parameters = model_sizes(info).dense_bytes / 4
    return OVERHEAD * 2 * parameters * (job.chunk_length - 1) / flop_per_second


def check_candidates(job: Job, info: ModelInfo) -> None:
    """Refuse weights that scoring would refuse, by their files alone.

    Tokenizers are compared when it is scored.

    Args:
        job: The job.
        info: The reference.

    Raises:
        InputError: A candidate is not there, or is not a copy of the reference in another
            precision; or weights cannot be made of the reference.
    """
    for source in sources_of(job.settings):
        if isinstance(source, StoredWeights) and source.is_gguf:
            _gguf(source, info)
            require_gguf_package()
        elif isinstance(source, StoredWeights):
            found = resolve_model(source.model, source.revision, allow_custom_code=True)
            check_same_but_tokenizer(info, found)
        else:
            predicted_precision(info, source.bits, source.group_size, source.mode)


def _gguf(source: StoredWeights, info: ModelInfo) -> GGUFWeights:
    return gguf_weights(info, open_gguf(Path(source.model)))


def earlier_seconds(job: Job, device: str) -> tuple[str, float] | None:
    """The newest run of the same model and chunk length that this device has scored a part of.

    Args:
        job: The job.
        device: Kind of the device that would score: a run on another says nothing about it.

    Returns:
        Its id, and the median seconds of a pass of one chunk; None where there is none.
    """
    from scorer.runs.listing import find_run, list_runs

    for info in sorted(list_runs(), key=lambda run: run.created, reverse=True):
        if (info.model, info.chunk_length) != (job.model, job.chunk_length):
            continue
        if info.state == "broken" or not info.chunks_done:
            continue
        try:
            run = find_run(info.id)
            facts = run.facts.run
            if facts is None or (facts.device.kind, facts.job.kernel) != (device, job.kernel):
                continue
            stored = run.read()
        except QfidError:
            continue
        found = [fact.seconds for chunks in stored.values() for fact in chunks.facts]
        if any(found):
            return info.id, statistics.median(found)
    return None
