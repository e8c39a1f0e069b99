"""Initializes MLX in this process: environment, BLAS and device."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
from dataclasses import dataclass
from functools import cache

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import InputError
from scorer.common.folders import cache_folder
from scorer.common.offline import forbid_to_libraries
from scorer.common.process_limits import (
    check_thread_limit,
    core_count,
    raise_file_limit,
    require_threads,
    require_working_folder,
)
from scorer.device import cpu_arithmetic
from scorer.device.blas import SLOW_MATMUL_SECONDS, matmul_seconds, preload_blas
from scorer.device.blas_version import mlx_blas, numpy_blas
from scorer.device.memory import device_memory, limit_metal_memory

# Threads of a run beside those that share its products: to save, hash, tokenize, and MLX's own.
_OWN_THREADS = 9
# MKL, NumPy's BLAS and scorer.device.threads start one for each core but the first.
_LIBRARIES = 3
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
        matmul_seconds: Seconds of a 512³ float32 matmul on the CPU device; None on a GPU.
        versions: Package to version.
        arithmetic: ``numpy`` or ``mlx``: the library that computes attention and activations.
        mlx_blas: ``blas`` with its version; None where it cannot be told, and on a GPU.
        numpy_blas: NumPy's BLAS with its version; None likewise.
    """

    kind: DeviceKind
    name: str
    memory_total: int
    memory_free: int
    blas: str
    matmul_seconds: float | None
    versions: dict[str, str]
    arithmetic: str = cpu_arithmetic.MLX
    mlx_blas: str | None = None
    numpy_blas: str | None = None

    @property
    def slow_blas(self) -> bool:
        """Whether the time of the matmul shows that no optimized BLAS is used."""
        return self.matmul_seconds is not None and self.matmul_seconds > SLOW_MATMUL_SECONDS


def missing_backend() -> InputError:
    """Return the error for an installation of MLX without a backend for this machine."""
    if platform.system() == "Darwin":
        return InputError("MLX has no backend here", "pip install qfid")
    return InputError(
        "MLX has no backend here",
        "pip install 'qfid[cpu]', or with an NVIDIA GPU 'qfid[cuda12]' or 'qfid[cuda13]'",
    )


@cache
def start_backend() -> Backend:
    """Set the environment that MLX reads at import, load the BLAS, import MLX, choose the device.

    Raises:
        InputError: MLX is not installed, has no backend for this machine, or lacks the device
            that ``QFID_DEVICE`` names; or the system allows too few threads, or the working
            directory has been deleted.
    """
    check_thread_limit()
    # Before NumPy is imported: its BLAS ends the process where it cannot start its threads.
    require_threads(_OWN_THREADS + _LIBRARIES * (_threads_of_each() - 1))
    require_working_folder()
    raise_file_limit()
    # Compute float32 products in full precision, not in TensorFloat-32 (read at import).
    os.environ.setdefault("MLX_ENABLE_TF32", "0")
    # Model folders are resolved once; libraries may not use the network.
    forbid_to_libraries()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # On CUDA, MLX compiles a kernel at its first use, up to half a minute each, and by default
    # caches it in a temporary folder. The key is only its name, so each version has a folder.
    # Without a home folder there may be none; what needs one says so.
    with contextlib.suppress(InputError):
        kernels = cache_folder() / "cuda-kernels" / _versions()["mlx"]
        os.environ.setdefault("MLX_PTX_CACHE_DIR", str(kernels))
    blas = preload_blas()
    try:
        import mlx.core as mx
    except ImportError:
        raise missing_backend() from None
    _choose_device(os.environ.get("QFID_DEVICE", ""))
    if mx.default_device() == mx.gpu:
        kind: DeviceKind = "cuda" if mx.cuda.is_available() else "metal"
        info = mx.device_info()
        if kind == "metal":
            limit_metal_memory(info)
        memory = device_memory(kind)
        return Backend(
            kind,
            str(info.get("device_name", kind)),
            memory.total,
            memory.available,
            "n/a",
            None,
            _versions(),
        )
    # MLX builds compiled CPU kernels with a C++ compiler in a shared folder: slow to start, unsafe
    # with several processes, and no faster in this program.
    os.environ.setdefault("MLX_DISABLE_COMPILE", "1")
    mx.disable_compile()
    memory = device_memory("cpu")
    return Backend(
        "cpu",
        _cpu_name(),
        memory.total,
        memory.available,
        blas,
        matmul_seconds(),
        _versions(),
        cpu_arithmetic.choose(),
        mlx_blas(),
        numpy_blas(),
    )


def _threads_of_each() -> int:
    """Return how many threads a library uses for a product."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdecimal() and int(chosen) > 0:
        return min(core_count(), int(chosen))
    return core_count()


def _choose_device(name: str) -> None:
    """Use the device that ``QFID_DEVICE`` names; if empty, the default of MLX."""
    import mlx.core as mx

    if not name:
        return
    device = {"cpu": mx.cpu, "gpu": mx.gpu}.get(name)
    if device is None or not mx.is_available(device):
        raise InputError(
            f"QFID_DEVICE: there is no device `{name}` here", "it may be `cpu`, `gpu` or unset"
        )
    mx.set_default_device(device)


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
