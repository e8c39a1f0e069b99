"""Peak memory of a computation: MLX's count on a GPU, resident memory on the CPU."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import re
from pathlib import Path

import mlx.core as mx

from scorer.common.device_kind import DeviceKind
from scorer.device.memory import memory_in_use, peak_memory

_STATUS = Path("/proc/self/status")
# Writing 5 resets the peak of resident memory to its current value (Linux).
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """The peak memory above that at the start, when little but the weights is in memory.

    Attributes:
        above: Largest peak so far, bytes; None if unknown.
    """

    def __init__(self, device: DeviceKind) -> None:
        self._gpu = device != "cpu"
        _free_caches()
        self._before = memory_in_use()
        self.above: int | None = None
        self.reset()

    def reset(self) -> None:
        """Reset the peak to the current use."""
        if self._gpu:
            mx.reset_peak_memory()
            return
        # Memory that the bare pass has not returned does not count.
        _free_caches()
        if platform.system() == "Linux":
            # A container may forbid it; then the peak is that of the whole process.
            with contextlib.suppress(OSError):
                _CLEAR.write_text("5")

    def note(self) -> None:
        """Record the peak since the last reset."""
        peak = peak_memory() if self._gpu else _resident_peak()
        if peak is not None:
            self.above = max(self.above or 0, peak - self._before)


def _free_caches() -> None:
    """Free MLX's cache and, on Linux, return free memory of malloc to the system."""
    mx.clear_cache()
    if platform.system() == "Linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def _resident_peak() -> int | None:
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        return peak_memory()
    return int(found.group(1)) * 1024 if found else peak_memory()
