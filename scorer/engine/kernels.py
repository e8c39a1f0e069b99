"""On CUDA, the kernels of MLX's own that a job needs, compiled while its model is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from scorer.device.backend import Backend
from scorer.device.kernel_processes import KernelProcesses, processes_at_once
from scorer.device.kernel_tasks import KernelTask
from scorer.device.kernel_worker import VARIABLE
from scorer.device.memory import device_memory
from scorer.engine.candidates import CandidateWeights
from scorer.lanes.kv.attention_kernels import attention_tasks
from scorer.lm.model_kernels import model_tasks, stored_formats, weights_tasks
from scorer.models.config import read_object
from scorer.models.info import ModelInfo
from scorer.models.sizes import ModelSizes
from scorer.spec.job import Job
from scorer.spec.settings.weights import MadeWeights, caches_of


def compiling(
    job: Job,
    backend: Backend,
    info: ModelInfo,
    sizes: ModelSizes,
    candidates: Sequence[CandidateWeights] = (),
) -> KernelProcesses:
    """Start the processes that compile what is not on disk; none on the CPU and on Metal.

    Args:
        job: The job.
        backend: The device.
        info: The model.
        sizes: Its sizes; its weights have to fit beside the processes.
        candidates: The sets of weights beside its own.
    """
    if backend.kind != "cuda":
        return KernelProcesses([], Path(), 0)
    spare = device_memory(backend.kind).available - sizes.stored_bytes
    folder = Path(os.environ[VARIABLE])
    return KernelProcesses(
        list(tasks_of(job, info, sizes, candidates)), folder, processes_at_once(spare)
    )


def tasks_of(
    job: Job, info: ModelInfo, sizes: ModelSizes, candidates: Sequence[CandidateWeights] = ()
) -> Iterator[KernelTask]:
    """MLX's kernels that a job needs, those that take longest first."""
    length = job.chunk_length - 1
    config: dict[str, Any] = read_object(info.path / "config.json")
    tasks = list(model_tasks(info, config, sizes.dtype))[::-1]
    for each in candidates:
        if isinstance(each.source, MadeWeights):
            tasks += weights_tasks(config, sizes.dtype, [each.source.format])
        elif each.gguf is None:
            own = read_object(each.info.path / "config.json")
            tasks += weights_tasks(own, each.sizes.dtype, stored_formats(own, each.info.path))
    of_caches = attention_tasks(
        caches_of(job.settings), info.geometry, sizes.heads, length, sizes.dtype
    )
    # A product with codes takes half a minute, anything else some seconds.
    yield from dict.fromkeys([*of_caches, *sorted(tasks, key=lambda task: not task.bits)])
