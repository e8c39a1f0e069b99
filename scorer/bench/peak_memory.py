"""Peak memory of a piece of work: MLX's own count on a GPU, resident memory on the CPU."""

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
# Writing 5 here sets the peak of resident memory back to what is resident now (Linux).
_CLEAR = Path("/proc/self/clear_refs")


class PeakMemory:
    """The highest use seen over that at the start, when little but the weights is held.

    Attributes:
        above: Bytes, the largest seen so far; None where the system does not tell.
    """

    def __init__(self, device: DeviceKind) -> None:
        self._gpu = device != "cpu"
        _give_back()
        self._before = memory_in_use()
        self.above: int | None = None
        self.reset()

    def reset(self) -> None:
        """Forget peaks before now."""
        if self._gpu:
            mx.reset_peak_memory()
            return
        # What the bare pass left behind is not this work's.
        _give_back()
        if platform.system() == "Linux":
            # A container may forbid it: then peaks are those of the whole process.
            with contextlib.suppress(OSError):
                _CLEAR.write_text("5")

    def note(self) -> None:
        """Look at the peak since the last reset."""
        peak = peak_memory() if self._gpu else _resident_peak()
        if peak is not None:
            self.above = max(self.above or 0, peak - self._before)


def _give_back() -> None:
    """Return what is free to the device, and on Linux what malloc keeps to the system."""
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
