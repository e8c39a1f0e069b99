"""What a benchmark measures: a cached model or a random one, its lanes, and chunks of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from scorer.common.folders import cache_folder
from scorer.device.backend import Backend
from scorer.fit.pass_size import PassSize, default_batch
from scorer.lanes.base import ReferenceLane
from scorer.lanes.kv.lane import DEQUANTIZED, KVLane
from scorer.lanes.kv.plan import plan_settings
from scorer.lm.caches import fresh_caches
from scorer.lm.measured_geometry import measured_geometry
from scorer.lm.split_model import SplitModel
from scorer.spec.job import Job
from scorer.spec.settings.shapes import check_groups


@dataclass(frozen=True, slots=True)
class Subject:
    """A model ready to be timed.

    Attributes:
        name: Of the model or shape.
        dtype: Compute dtype by name.
        reference: The full-precision lane, timed or not.
        lanes: One lane per setting that is computed.
        ids: (chunks, L) int32 tokens.
        first: First scored position of a chunk.
        vocab: Columns of the logits.
        size: How much goes through at once.
    """

    name: str
    dtype: str
    reference: Any
    lanes: Sequence[Any]
    ids: NDArray[np.int32]
    first: int
    vocab: int
    size: PassSize


def cached_subject(job: Job, backend: Backend) -> Subject:
    """A cached model and the job's text, prepared as a run prepares them.

    Raises:
        InputError: The job cannot be scored.
    """
    from scorer.engine.preparation import Preparation

    preparation = Preparation(job, backend, cache_folder() / "tokens")
    for _ in preparation.steps():
        pass
    prepared = preparation.result
    assert prepared is not None
    return Subject(
        name=prepared.info.name,
        dtype=prepared.model.dtype_name,
        reference=prepared.reference,
        lanes=prepared.lanes(),
        ids=prepared.corpus.ids,
        first=prepared.corpus.scored_from,
        vocab=prepared.vocab,
        size=prepared.size,
    )


def random_subject(shape: str, job: Job, backend: Backend) -> Subject:
    """A model with random weights and random tokens.

    Raises:
        InputError: A setting's group size does not divide the head dimension.
    """
    from scorer.bench.shapes import random_model

    model = random_model(shape, backend)
    split = SplitModel(model, backend.arithmetic)
    probe = mx.array([[1, 2, 3, 4]])
    split.check(lambda: fresh_caches(model), probe)
    check_groups(job.settings, measured_geometry(split))
    if all(setting.path == "dequantized" for setting in job.settings):
        lanes = [KVLane(split, setting, DEQUANTIZED) for setting in job.settings]
    else:
        planned = plan_settings(job, split, backend.kind, measured_geometry(split))
        lanes = [KVLane(split, p.setting, p.arithmetic) for p in planned if p.same_as is None]
    hidden = split.hidden(probe, fresh_caches(model))
    vocab = int(split.logits(hidden, 0, 4).shape[-1])
    rng = np.random.default_rng(0)
    chunks = job.max_chunks or 1
    return Subject(
        name=shape,
        dtype=str(hidden.dtype).rpartition(".")[2],
        reference=ReferenceLane(split),
        lanes=lanes,
        ids=rng.integers(0, vocab, (chunks, job.chunk_length)).astype(np.int32),
        first=0,
        vocab=vocab,
        size=PassSize(min(chunks, job.batch or default_batch(backend.kind, job.chunk_length))),
    )
