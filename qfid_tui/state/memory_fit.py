"""Whether a run fits in memory, before anything is loaded.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting

if TYPE_CHECKING:
    from scorer.common.device_kind import DeviceKind
    from scorer.models.sizes import ModelSizes
    from scorer.spec.events import Hello


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a run fits in memory.

    Attributes:
        needed: Estimated bytes that the run takes.
        free: Bytes that a run could take when the device was probed.
        total: Bytes of the device's memory.
    """

    needed: float
    free: int
    total: int

    @property
    def fits(self) -> bool:
        """Whether the free memory is enough."""
        return self.needed <= self.free


def fit_of(
    sizes: ModelSizes, machine: Hello, chunk_length: int, batch: int | None = None
) -> Fit | None:
    """Estimate whether scoring a model fits, by the scorer's own estimate.

    Args:
        sizes: Sizes of the model.
        machine: The device as the scorer described it.
        chunk_length: Tokens per chunk.
        batch: Chunks per forward pass; None for the scorer's default.

    Returns:
        The estimate for the pass that the scorer would take, else for the smallest pass; None for
        an unknown kind of device.
    """
    from scorer.device.host_memory import HostMemory
    from scorer.fit.fitting import budget
    from scorer.fit.memory_need import need
    from scorer.fit.pass_size import PassSize, default_batch

    if machine.device not in ("metal", "cuda", "cpu"):
        return None
    device = cast("DeviceKind", machine.device)
    job = Job("", (KVSetting(8, 8),), chunk_length=chunk_length, batch=batch)
    free = max(0, budget(HostMemory(machine.memory_total, machine.memory_free), device))
    needed = 0
    for size in PassSize(batch or default_batch(device, chunk_length)).sizes():
        needed = need(sizes, job, device, size).total
        if needed <= free:
            break
    return Fit(needed, free, machine.memory_total)
