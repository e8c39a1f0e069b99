"""On CUDA, the kernels of our own built and checked while the model is loaded.

The quantizer's takes two seconds, which MLX spends on its own headers, in every process anew. A
thread builds it from the start of the process on. On the CPU and on Metal nothing is done here.
"""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import QfidError
from scorer.spec.job import Job
from scorer.spec.settings.weights import caches_of


class OwnKernels:
    """The kernels that a job needs, being built.

    Args:
        job: The job.
        device: Where it runs.
    """

    def __init__(self, job: Job, device: DeviceKind) -> None:
        self._built: Future[None] | None = None
        if device == "cuda":
            pool = ThreadPoolExecutor(1, "qfid-own-kernels")
            self._built = pool.submit(_build, job)
            pool.shutdown(wait=False)

    def wait(self) -> None:
        """Wait until they are built.

        Raises:
            InputError: A variable that chooses a kernel holds something else than it may.
        """
        if self._built is not None:
            self._built.result()


def _build(job: Job) -> None:
    """Build and check the kernels for the dtype that the model's files have.

    Each is kept by the function that gives it, so that scoring finds it. A model that cannot be
    read is reported by whoever loads it.
    """
    import mlx.core as mx

    from scorer.metrics.fused_selftest import usable_kernel
    from scorer.models.resolve import resolve_model
    from scorer.models.sizes import model_sizes
    from scorer.quantizers.affine_fused import usable_quantizer

    try:
        info = resolve_model(job.model, job.revision, allow_custom_code=True)
        dtype: mx.Dtype = getattr(mx, model_sizes(info).dtype)
    except (QfidError, OSError):
        return
    settings = [row for row in caches_of(job.settings) if job.control or row.path == "dequantized"]
    for group_size in dict.fromkeys(row.group_size for row in settings):
        usable_quantizer("cuda", dtype, group_size)
    usable_kernel("cuda", dtype)
