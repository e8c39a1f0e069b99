"""On CUDA, what has to be compiled for a job, begun before the model is loaded.

The kernels of our own are built and checked by a thread of this process, MLX's by processes of
their own. On the CPU and on Metal nothing is done here.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any

import mlx.core as mx

from scorer.device.backend import Backend
from scorer.device.kernel_processes import KernelProcesses, processes_at_once
from scorer.device.kernel_tasks import KernelTask
from scorer.device.kernel_worker import VARIABLE
from scorer.device.memory import device_memory
from scorer.lanes.kv.kernel_tasks import attention_tasks
from scorer.lm.kernel_tasks import model_tasks
from scorer.metrics.fused_selftest import usable_kernel
from scorer.models.config import read_object
from scorer.models.info import ModelInfo
from scorer.models.sizes import ModelSizes
from scorer.quantizers.affine_fused import usable_quantizer
from scorer.spec.events import Loading
from scorer.spec.job import Job


class Kernels:
    """The kernels of a job; a context that ends what is still being compiled.

    Args:
        job: The job.
        backend: The device.
        info: The model.
        sizes: Its sizes.
    """

    def __init__(self, job: Job, backend: Backend, info: ModelInfo, sizes: ModelSizes) -> None:
        self._processes: KernelProcesses | None = None
        self._checked: Future[None] | None = None
        if backend.kind != "cuda":
            return
        spare = device_memory(backend.kind).available - sizes.stored_bytes
        self._processes = KernelProcesses(
            list(tasks_of(job, info, sizes)),
            Path(os.environ[VARIABLE]),
            processes_at_once(spare),
        )
        pool = ThreadPoolExecutor(1, "qfid-kernels")
        self._checked = pool.submit(check_own_kernels, job, sizes.dtype)
        pool.shutdown(wait=False)

    def __enter__(self) -> Kernels:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._processes is not None:
            self._processes.__exit__(kind, error, traceback)

    def awaited(self) -> Iterator[Loading]:
        """Wait until all is compiled.

        Yields:
            Loading, as often as there is something new to say.

        Raises:
            InputError: A variable that chooses a kernel holds something else than it may.
        """
        if self._processes is not None:
            for compiling in self._processes.awaited():
                yield Loading("kernels", compiling.described())
        if self._checked is not None:
            self._checked.result()


def tasks_of(job: Job, info: ModelInfo, sizes: ModelSizes) -> Iterator[KernelTask]:
    """MLX's kernels that a job needs, those that take longest first."""
    length = job.chunk_length - 1
    yield from attention_tasks(job.settings, info.geometry, sizes.heads, length, sizes.dtype)
    config: dict[str, Any] = read_object(info.path / "config.json")
    yield from reversed(list(model_tasks(info, config, sizes.dtype)))


def check_own_kernels(job: Job, dtype: str) -> None:
    """Build and check the kernels of our own that a job needs on CUDA."""
    own: mx.Dtype = getattr(mx, dtype)
    usable_kernel("cuda", own)
    settings = [row for row in job.settings if job.control or row.path == "dequantized"]
    for group_size in dict.fromkeys(row.group_size for row in settings):
        usable_quantizer("cuda", own, group_size)
