"""Whether a run fits in memory, before anything is loaded.

Pure standard library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting

if TYPE_CHECKING:
    from qfid_tui.state.weights_offer import WeightsInfo
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
        in_turns: Whether sets of weights take turns, because they do not fit together.
    """

    needed: float
    free: int
    total: int
    in_turns: bool = False

    @property
    def fits(self) -> bool:
        """Whether the free memory is enough."""
        return self.needed <= self.free


def fit_of(
    sizes: ModelSizes,
    machine: Hello,
    chunk_length: int,
    batch: int | None = None,
    weights: Sequence[WeightsInfo | None] = (),
) -> Fit | None:
    """Estimate whether scoring a model fits, by the scorer's own estimate.

    Args:
        sizes: Sizes of the model.
        machine: The device as the scorer described it.
        chunk_length: Tokens per chunk.
        batch: Chunks per forward pass; None for the scorer's default.
        weights: What is known of each set of weights that is scored beside the model's own; None
            for nothing.

    Returns:
        The estimate for the pass that the scorer would take, else for the smallest pass; None for
        an unknown kind of device.
    """
    from scorer.device.host_memory import HostMemory
    from scorer.fit.fitting import budget
    from scorer.fit.memory_need import layers_bytes, need
    from scorer.fit.pass_size import PassSize, default_batch

    if machine.device not in ("metal", "cuda", "cpu"):
        return None
    device = cast("DeviceKind", machine.device)
    job = Job("", (KVSetting(8, 8),), chunk_length=chunk_length, batch=batch)
    free = max(0, budget(HostMemory(machine.memory_total, machine.memory_free), device))

    def needed(beside: int) -> int:
        found = 0
        for size in PassSize(batch or default_batch(device, chunk_length)).sizes():
            found = need(sizes, job, device, size, beside=beside).total
            if found <= free:
                break
        return found

    # The CPU computes with dense weights whatever they are stored as.
    sets = [
        sizes.dense_bytes if known is None or device == "cpu" else known.weight_bytes
        for known in weights
    ]
    together = needed(sum(sets))
    if not sets or together <= free:
        return Fit(together, free, machine.memory_total)
    turns = needed(max(0, max(sets) - layers_bytes(sizes, device)))
    return Fit(turns, free, machine.memory_total, in_turns=True)
