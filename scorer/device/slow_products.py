"""Why the matrix products that MLX computes on the CPU device are slow, and what to do about it.

They matter where NumPy does not multiply: with mlx-lm's own kernel, with
``QFID_CPU_ARITHMETIC=mlx``, and for matrices that a model stacks, as those of experts.
"""

from __future__ import annotations

import os
import platform

from scorer.common.install_command import install_command
from scorer.common.process_limits import core_count
from scorer.device.backend import Backend
from scorer.device.blas import NONE_FOUND, SLOW_MATMUL_SECONDS, name_of

_THREAD_LIMITS = ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")


def slow_products(backend: Backend) -> tuple[str, str] | None:
    """Return what is slow and what to do next; None where MLX multiplies fast, and on a GPU.

    The first call times a matmul.
    """
    seconds = backend.matmul_seconds
    if seconds is None or seconds <= SLOW_MATMUL_SECONDS:
        return None
    taken = f"a 512³ product takes {1000 * seconds:.0f} ms"
    if os.environ.get("QFID_BLAS") == "none":
        return f"QFID_BLAS keeps every fast BLAS out of MLX: {taken}", "unset QFID_BLAS"
    if backend.late_blas is not None:
        return (
            f"MLX was imported before {name_of(backend.late_blas)} could be loaded for it, and "
            f"multiplies with reference BLAS: {taken}",
            "import mlx after the first call of measure_kv_fidelity, or start Python with "
            f"LD_PRELOAD={backend.late_blas}",
        )
    if backend.blas == NONE_FOUND:
        return (
            "MLX multiplies matrices with reference BLAS, more than ten times slower than need be: "
            + taken,
            _installation(backend),
        )
    # As many threads as cores are no limit.
    unlimited = ("", str(core_count()))
    limits = [name for name in _THREAD_LIMITS if os.environ.get(name, "") not in unlimited]
    return (
        f"matrix products of MLX are slow although {backend.blas} is loaded: {taken}",
        f"unset {', '.join(limits)}" if limits else "end other programs that keep the cores busy",
    )


def _installation(backend: Backend) -> str:
    if backend.unusable_blas:
        return backend.unusable_blas[0].described()[1]
    if platform.system() == "Linux" and platform.machine() == "x86_64":
        return f"`{install_command('mkl')}`"
    # MKL exists for x86-64 only.
    return "install OpenBLAS, for instance `apt install libopenblas0`"
