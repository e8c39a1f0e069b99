"""Memory of the device that scores: its limit, what is free, what is in use, the peak."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from typing import Any

from scorer.common.device_kind import DeviceKind
from scorer.device.host_memory import HostMemory, host_memory


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
