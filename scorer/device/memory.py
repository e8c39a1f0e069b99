"""Memory of the device that scores: limit, free memory, memory in use, peak."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from typing import Any

from scorer.common.device_kind import DeviceKind
from scorer.common.loans import GiveBack
from scorer.device.host_memory import HostMemory, host_memory


def limit_metal_memory(info: Mapping[str, Any]) -> GiveBack:
    """Limit MLX to the working set that Metal recommends; call it before anything is loaded.

    The default limit of MLX is 1.5 times as high, and Macs have panicked under memory pressure. The
    same number of bytes is wired, because a machine stalls when it pages a model out and in.

    Args:
        info: Result of ``mlx.core.device_info``; without a recommended working set nothing is set.

    Returns:
        A function that sets the former limits.
    """
    import mlx.core as mx

    recommended = int(info.get("max_recommended_working_set_size") or 0)
    if not recommended:
        return lambda: None
    former = [(mx.set_memory_limit, mx.set_memory_limit(recommended))]
    # Before macOS 15 memory cannot be wired, and MLX may raise an error.
    with contextlib.suppress(RuntimeError, ValueError):
        former.append((mx.set_wired_limit, mx.set_wired_limit(recommended)))

    def give_back() -> None:
        for put, limit in former:
            put(limit)

    return give_back


def device_memory(kind: DeviceKind) -> HostMemory:
    """Return the bytes that the device may use, and how many of them are free.

    Metal: the recommended working set. CUDA: the memory of the card. CPU: RAM, within the limits of
    control groups.
    """
    if kind == "cpu":
        return host_memory()
    import mlx.core as mx

    info = mx.device_info()
    total = int(info.get("max_recommended_working_set_size") or info.get("total_memory") or 0)
    held = int(mx.get_active_memory())
    free = info.get("free_memory")
    # MLX's cache of free buffers is free for a run, but in use for the driver.
    available = total - held if free is None else int(free) + int(mx.get_cache_memory())
    return HostMemory(total, max(0, min(available, total - held)))


def memory_in_use() -> int:
    """Return the bytes in use: MLX's count on a GPU, resident memory of this process on the CPU."""
    import mlx.core as mx

    if mx.default_device() == mx.gpu:
        return int(mx.get_active_memory())
    try:
        with open("/proc/self/statm", encoding="ascii") as line:  # noqa: PTH123
            return int(line.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_memory()


def peak_memory() -> int:
    """Return the peak bytes: MLX's count on a GPU, maximum resident size on the CPU."""
    import resource

    import mlx.core as mx

    if mx.default_device() == mx.gpu:
        return int(mx.get_peak_memory())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak) if platform.system() == "Darwin" else int(peak) * 1024
