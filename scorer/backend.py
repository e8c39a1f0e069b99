"""MLX made ready in this process: environment, BLAS, device and what is known about it."""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from scorer import cpu_arithmetic
from scorer.cpu import SLOW_MATMUL_SECONDS, matmul_seconds, preload_blas
from scorer.errors import InputError
from scorer.host_memory import HostMemory, host_memory
from scorer.offline import forbid_to_libraries
from scorer.runs import cache_folder

DeviceKind = Literal["metal", "cuda", "cpu"]


@dataclass(frozen=True, slots=True)
class Backend:
    """The device that scores and the libraries behind it.

    Attributes:
        kind: ``metal``, ``cuda`` or ``cpu``.
        name: The device's own name.
        memory_total: Bytes the device may use: RAM, or the card's memory.
        memory_free: Bytes free now.
        blas: BLAS behind the CPU device; ``n/a`` on a GPU.
        matmul_seconds: One 512³ float32 matmul on the CPU device; None on a GPU.
        versions: Package to version.
        arithmetic: ``numpy`` or ``mlx``: what computes attention and activations.
    """

    kind: DeviceKind
    name: str
    memory_total: int
    memory_free: int
    blas: str
    matmul_seconds: float | None
    versions: dict[str, str]
    arithmetic: str = cpu_arithmetic.MLX

    @property
    def slow_blas(self) -> bool:
        """Whether the timed matmul says that no tuned BLAS is at work."""
        return self.matmul_seconds is not None and self.matmul_seconds > SLOW_MATMUL_SECONDS


def missing_backend() -> InputError:
    """The error for an installation of MLX that has no backend for this machine."""
    extra = "plain `pip install qfid`" if platform.system() == "Darwin" else "`qfid[cpu]`"
    return InputError(
        "MLX has no backend here",
        f"install {extra}"
        + ("" if platform.system() == "Darwin" else ", or `qfid[cuda12]` / `qfid[cuda13]`"),
    )


@cache
def start_backend() -> Backend:
    """Set the environment MLX reads at import, load the BLAS, import MLX and look at the device.

    Raises:
        InputError: MLX is not installed, has no backend for this machine, or not the device that
            ``QFID_DEVICE`` names.
    """
    # Full float32 products also where the hardware offers TensorFloat-32 (read at import).
    os.environ.setdefault("MLX_ENABLE_TF32", "0")
    # Model folders are resolved once; nothing behind them may ask the network.
    forbid_to_libraries()
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # On CUDA MLX compiles a kernel at its first use, up to half a minute each; its own folder for
    # them is a temporary one. Kernels are found by name alone, so each version has a folder.
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
    # Compiled CPU kernels are built by a C++ compiler into a shared folder: slow to start, unsafe
    # to share, and no faster in this program.
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
    )


def limit_metal_memory(info: Mapping[str, Any]) -> None:
    """Keep MLX within what Metal recommends for this machine, before anything is loaded.

    MLX's own limit is half as much again, and Macs have panicked under memory pressure. Memory up
    to the same figure stays resident (wired): paging a model out and in again is what stalls a
    machine. The figure is the device's own, so that a large machine is used whole.

    Args:
        info: What ``mlx.core.device_info`` says; without a recommended working set nothing is set.
    """
    import mlx.core as mx

    recommended = int(info.get("max_recommended_working_set_size") or 0)
    if recommended:
        mx.set_memory_limit(recommended)
        # Systems before macOS 15 cannot wire memory and may say so.
        with contextlib.suppress(RuntimeError, ValueError):
            mx.set_wired_limit(recommended)


def device_memory(kind: DeviceKind) -> HostMemory:
    """Bytes the device may use and how many of them are free now.

    Metal: the recommended working set. CUDA: the card's memory. CPU: available RAM, control
    groups included.
    """
    if kind == "cpu":
        return host_memory()
    import mlx.core as mx

    info = mx.device_info()
    total = int(info.get("max_recommended_working_set_size") or info.get("total_memory") or 0)
    held = int(mx.get_active_memory())
    free = info.get("free_memory")
    # What MLX keeps for reuse is free for a run, but not for the driver.
    available = total - held if free is None else int(free) + int(mx.get_cache_memory())
    return HostMemory(total, max(0, min(available, total - held)))


def _choose_device(name: str) -> None:
    """Compute on the device that ``QFID_DEVICE`` names; empty leaves MLX's own choice."""
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

    from scorer import __version__

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
    return platform.processor() or platform.machine()


def memory_in_use() -> int:
    """Bytes in use now: MLX's own count on a GPU, resident memory of this process on the CPU."""
    import mlx.core as mx

    if mx.default_device() == mx.gpu:
        return int(mx.get_active_memory())
    try:
        with open("/proc/self/statm", encoding="ascii") as line:  # noqa: PTH123
            return int(line.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_memory()


def peak_memory() -> int:
    """Peak bytes of this process: MLX's own count on a GPU, maximum resident size on the CPU."""
    import resource

    import mlx.core as mx

    if mx.default_device() == mx.gpu:
        return int(mx.get_peak_memory())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if platform.system() == "Darwin" else int(peak) * 1024
