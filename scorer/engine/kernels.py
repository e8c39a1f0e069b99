"""On CUDA, the kernels of MLX's own that a job needs, compiled while its model is loaded."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from scorer.device.backend import Backend
from scorer.device.kernel_processes import KernelProcesses, processes_at_once
from scorer.device.kernel_tasks import KernelTask
from scorer.device.kernel_worker import VARIABLE
from scorer.device.memory import device_memory
from scorer.lanes.kv.attention_kernels import attention_tasks
from scorer.lm.model_kernels import model_tasks
from scorer.models.config import read_object
from scorer.models.info import ModelInfo
from scorer.models.sizes import ModelSizes
from scorer.spec.job import Job
from scorer.spec.settings.weights import caches_of


def compiling(job: Job, backend: Backend, info: ModelInfo, sizes: ModelSizes) -> KernelProcesses:
    """Start the processes that compile what is not on disk; none on the CPU and on Metal.

    Args:
        job: The job.
        backend: The device.
        info: The model.
        sizes: Its sizes; its weights have to fit beside the processes.
    """
    if backend.kind != "cuda":
        return KernelProcesses([], Path(), 0)
    spare = device_memory(backend.kind).available - sizes.stored_bytes
    folder = Path(os.environ[VARIABLE])
    return KernelProcesses(list(tasks_of(job, info, sizes)), folder, processes_at_once(spare))


def tasks_of(job: Job, info: ModelInfo, sizes: ModelSizes) -> Iterator[KernelTask]:
    """MLX's kernels that a job needs, those that take longest first."""
    length = job.chunk_length - 1
    yield from attention_tasks(
        caches_of(job.settings), info.geometry, sizes.heads, length, sizes.dtype
    )
    config: dict[str, Any] = read_object(info.path / "config.json")
    yield from reversed(list(model_tasks(info, config, sizes.dtype)))
