"""The subject of a benchmark: a cached or random model, its lanes, and chunks of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.common.folders import cache_folder
from scorer.device.backend import Backend
from scorer.fit.pass_size import PassSize, default_batch
from scorer.lanes.base import Lane, ReferenceLane
from scorer.lanes.kv.lane import DEQUANTIZED, KVLane
from scorer.lanes.kv.plan import plan_settings
from scorer.lm.caches import fresh_caches
from scorer.lm.measured_geometry import measured_geometry
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel
from scorer.spec.job import Job
from scorer.spec.settings.weights import caches_of

if TYPE_CHECKING:
    from scorer.engine.prepared import Prepared


@dataclass(frozen=True, slots=True)
class Subject:
    """A model ready to be timed.

    Attributes:
        name: Name of the model or shape.
        dtype: Name of the compute dtype.
        model: Handle of the model.
        reference: The full-precision lane, with or without a timer.
        lanes: One lane per computed setting.
        ids: (chunks, L) int32 tokens.
        first: First scored position of a chunk.
        vocab: Columns of the logits.
        size: Size of a forward pass and of a tile.
    """

    name: str
    dtype: str
    model: ModelHandle
    reference: Lane
    lanes: Sequence[Lane]
    ids: NDArray[np.int32]
    first: int
    vocab: int
    size: PassSize


def cached_subject(job: Job, backend: Backend) -> Subject:
    """Return a cached model and the job's text, prepared as for a run.

    Raises:
        InputError: The job cannot be scored.
    """
    from scorer.engine.preparation import Preparation

    preparation = Preparation(job, backend, cache_folder() / "tokens")
    for _ in preparation.steps():
        pass
    prepared = preparation.result
    assert prepared is not None
    return subject_of(prepared)


def subject_of(prepared: Prepared) -> Subject:
    """A job that is ready to be scored, with all weights that are loaded."""
    return Subject(
        name=prepared.info.name,
        dtype=prepared.model.dtype_name,
        model=prepared.handle,
        reference=prepared.reference,
        lanes=prepared.lanes(),
        ids=prepared.corpus.ids,
        first=prepared.corpus.scored_from,
        vocab=prepared.vocab,
        size=prepared.size,
    )


def random_subject(shape: str, job: Job, backend: Backend) -> Subject:
    """Return a model with random weights, and random tokens.

    Raises:
        InputError: A setting's group size does not divide the head dimension.
    """
    from scorer.bench.shapes import random_model

    model = random_model(shape, backend)
    split = SplitModel(model, backend.arithmetic)
    probe = mx.array([[1, 2, 3, 4]])
    split.check(lambda: fresh_caches(model), probe)
    geometry = measured_geometry(split)
    job = job.resolved(geometry)
    settings = caches_of(job.settings)
    for setting in settings:
        setting.check(geometry)
    handle = ModelHandle(split)
    if all(setting.path == "dequantized" for setting in settings):
        lanes = [KVLane(handle, setting, DEQUANTIZED) for setting in settings]
    else:
        planned = plan_settings(job, handle, backend.kind, geometry)
        lanes = [
            KVLane(handle, p.cache, p.arithmetic)
            for p in planned
            if p.same_as is None and p.cache is not None
        ]
    hidden = split.hidden(probe, fresh_caches(model))
    vocab = int(split.logits(hidden, 0, 4).shape[-1])
    rng = np.random.default_rng(0)
    chunks = job.max_chunks or 1
    return Subject(
        name=shape,
        dtype=str(hidden.dtype).rpartition(".")[2],
        model=handle,
        reference=ReferenceLane(handle),
        lanes=lanes,
        ids=rng.integers(0, vocab, (chunks, job.chunk_length)).astype(np.int32),
        first=0,
        vocab=vocab,
        size=PassSize(min(chunks, job.batch or default_batch(backend.kind, job.chunk_length))),
    )
