"""Initializes MLX in this process: environment, BLAS and device."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import InputError
from scorer.common.install_command import install_command
from scorer.common.process_limits import (
    check_thread_limit,
    core_count,
    require_threads,
    require_working_folder,
)
from scorer.device import cpu_arithmetic
from scorer.device.blas import BlasChoice, UnusableBlas, preload_blas, product_seconds
from scorer.device.blas_version import mlx_blas, numpy_blas
from scorer.device.forks import refuse_after_fork
from scorer.device.memory import device_memory
from scorer.device.run_state import chosen_device, environment, lent_to_run

# Threads of a run beside those that share its products: to save, hash, tokenize, and MLX's own.
_OWN_THREADS = 9
# MKL, NumPy's BLAS and scorer.device.threads start one for each core but the first.
_LIBRARIES = 3
_DEVICE = "QFID_DEVICE"
_MACOS = platform.system() == "Darwin"


@dataclass(frozen=True, slots=True)
class Backend:
    """The device that scores, and its libraries.

    Attributes:
        kind: ``metal``, ``cuda`` or ``cpu``.
        name: Name of the device.
        memory_total: Bytes that the device may use: RAM, or the memory of the card.
        memory_free: Bytes free at the start.
        blas: BLAS of MLX's CPU backend; ``n/a`` on a GPU.
        versions: Package to version.
        arithmetic: ``numpy`` or ``mlx``: the library that computes attention and activations.
        mlx_blas: ``blas`` with its version; None where it cannot be told, and on a GPU.
        numpy_blas: NumPy's BLAS with its version; None likewise.
        unusable_blas: Libraries that were preferred to ``blas`` and do not work.
        late_blas: The library that MLX would use if the program around us had not imported MLX
            before; None where that made no difference.
    """

    kind: DeviceKind
    name: str
    memory_total: int
    memory_free: int
    blas: str
    versions: dict[str, str]
    arithmetic: str = cpu_arithmetic.MLX
    mlx_blas: str | None = None
    numpy_blas: str | None = None
    unusable_blas: tuple[UnusableBlas, ...] = ()
    late_blas: str | None = None

    @property
    def matmul_seconds(self) -> float | None:
        """Seconds of a 512³ float32 matmul on the CPU device; None on a GPU.

        It is timed when it is first asked for: reference BLAS takes 0.2 seconds.
        """
        return product_seconds() if self.kind == "cpu" else None


def missing_backend() -> InputError:
    """Return the error for an installation of MLX without a backend for this machine."""
    if platform.system() == "Darwin":
        return InputError("MLX has no backend here", install_command("mlx"))
    return InputError(
        "MLX has no backend here",
        f"{install_command('mlx[cpu]')}; with an NVIDIA GPU 'mlx[cuda13]', or 'mlx[cuda12]' for an "
        "older driver",
    )


_starting = threading.Lock()


@contextmanager
def running_backend() -> Iterator[Backend]:
    """Lend this process to a run, see :mod:`scorer.device.run_state`, and give it back after.

    Yields:
        The device that scores.

    Raises:
        InputError: As :func:`start_backend`.
    """
    # Before any lock, which a thread that is not here may have held.
    refuse_after_fork()
    with environment:
        backend = start_backend()
        with lent_to_run(backend.kind, os.environ.get(_DEVICE, "")):
            yield backend


def start_backend() -> Backend:
    """Load the BLAS, import MLX and describe the device.

    Raises:
        InputError: MLX is not installed, has no backend for this machine, or lacks the device
            that ``QFID_DEVICE`` names; or the system allows too few threads, or the working
            directory has been deleted, or this process was forked after MLX had worked.
    """
    refuse_after_fork()
    with _starting, environment:
        blas = _import_mlx()
        import mlx.core as mx

        with chosen_device(os.environ.get(_DEVICE, "")):
            return _describe(blas, on_gpu=mx.default_device() == mx.gpu)


@cache
def _import_mlx() -> BlasChoice:
    """Import MLX, after the BLAS that it is to use; return that."""
    check_thread_limit()
    # Before NumPy is imported: its BLAS ends the process where it cannot start its threads.
    require_threads(_OWN_THREADS + _LIBRARIES * (_threads_of_each() - 1))
    require_working_folder()
    blas = preload_blas()
    try:
        import mlx.core  # noqa: F401
    except ImportError:
        raise missing_backend() from None
    return blas


@cache
def _describe(blas: BlasChoice, *, on_gpu: bool) -> Backend:
    """Describe the default device of MLX."""
    import mlx.core as mx

    if on_gpu:
        kind: DeviceKind = "cuda" if mx.cuda.is_available() else "metal"
        memory = device_memory(kind)
        return Backend(
            kind,
            str(mx.device_info().get("device_name", kind)),
            memory.total,
            memory.available,
            "n/a",
            _versions(),
        )
    memory = device_memory("cpu")
    return Backend(
        "cpu",
        _cpu_name(),
        memory.total,
        memory.available,
        blas.name,
        _versions(),
        cpu_arithmetic.choose(),
        mlx_blas(),
        numpy_blas(),
        blas.unusable,
        blas.late,
    )


def _threads_of_each() -> int:
    """Return how many threads a library uses for a product."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return min(core_count(), int(chosen))
    return core_count()


def _versions() -> dict[str, str]:
    import numpy

    from scorer._version import __version__

    found = {"qfid": __version__, "python": platform.python_version(), "numpy": numpy.__version__}
    for package in ("mlx", "mlx-lm"):
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = "unknown"
    return found


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:  # noqa: PTH123
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    # As platform.processor() says, which starts `uname` for it.
    machine = platform.machine()
    return {"arm64": "arm", "x86_64": "i386"}.get(machine, machine) if _MACOS else machine
