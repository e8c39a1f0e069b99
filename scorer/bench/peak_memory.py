"""Peak memory of a computation: MLX's count on a GPU, resident memory on the CPU."""

from __future__ import annotations

import mlx.core as mx

from scorer.bench.resident_memory import reset_resident_peak, resident_peak, return_free_memory
from scorer.common.device_kind import DeviceKind
from scorer.device.memory import memory_in_use, peak_memory


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
        reset_resident_peak()

    def note(self) -> None:
        """Record the peak since the last reset."""
        peak = peak_memory() if self._gpu else resident_peak()
        self.above = max(self.above or 0, peak - self._before)


def _free_caches() -> None:
    """Free MLX's cache and return free memory of malloc to the system."""
    mx.clear_cache()
    return_free_memory()
