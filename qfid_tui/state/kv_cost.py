"""What a setting costs, and whether a run fits, before anything is loaded.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from scorer.common.errors import QfidError
from scorer.report.formats.inline import ROUGHLY, digits
from scorer.spec.job import Job
from scorer.spec.settings.kv import KVSetting

if TYPE_CHECKING:
    from scorer.common.device_kind import DeviceKind
    from scorer.models.info import ModelInfo
    from scorer.models.sizes import ModelSizes
    from scorer.spec.events import Hello
    from scorer.spec.geometry import KVGeometry
    from scorer.spec.settings.base import Setting

CONTEXTS = (8 << 10, 32 << 10, 128 << 10)
"""Contexts that the cost is told for, tokens."""


@dataclass(frozen=True, slots=True)
class KVCost:
    """Stored bytes of keys and values.

    Attributes:
        per_token: Bytes per token before any attention window is full.
        share: ``per_token`` as a share of that at 16 bit, 0 to 1.
        at: Bytes in all at each of :data:`CONTEXTS`; sliding layers hold their window at most.
        exact: Whether they follow from the measured geometry, not from a guess.
    """

    per_token: float
    share: float
    at: tuple[float, ...]
    exact: bool = True

    @property
    def sign(self) -> str:
        """What stands before a number that is not exact."""
        return "" if self.exact else ROUGHLY


def kv_cost(geometry: KVGeometry, setting: Setting | None) -> KVCost:
    """The cost of a setting for a model; None is the cache at 16 bit."""
    full, exact = geometry.bytes_per_token_16bit(), geometry.exact
    if setting is None:
        at = tuple(c * geometry.bytes_per_token_16bit(c) for c in CONTEXTS)
        return KVCost(full, 1.0, at, exact)
    per_token = setting.bytes_per_token(geometry)
    return KVCost(
        per_token,
        per_token / full if full else 1.0,
        tuple(c * setting.bytes_per_token(geometry, c) for c in CONTEXTS),
        exact,
    )


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a run fits in memory.

    Attributes:
        needed: About how many bytes the run takes.
        free: Bytes a run could take when the device was asked.
        total: Bytes the device has.
    """

    needed: float
    free: int
    total: int

    @property
    def fits(self) -> bool:
        """Whether what is free now is enough."""
        return self.needed <= self.free


def short_bytes(value: float) -> str:
    """Bytes in the largest binary unit that leaves at least 1, three digits of them."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1000:
            return f"{digits(value, significant=3)} {unit}"
        value /= 1024
    return f"{digits(value, significant=3)} TiB"


def fit_of(info: ModelInfo, machine: Hello, *, chunk_length: int, batch: int | None) -> Fit | None:
    """Whether scoring a model fits, by the scorer's own estimate.

    Args:
        info: The model.
        machine: What the scorer said of its device.
        chunk_length: Tokens per chunk.
        batch: Chunks per forward pass; None for as many as the scorer takes.

    Returns:
        What the scorer would take, or the least it could; None where the model's files cannot be
        read any more.
    """
    from scorer.device.host_memory import HostMemory
    from scorer.fit.fitting import budget
    from scorer.fit.memory_need import need
    from scorer.fit.pass_size import PassSize, default_batch

    sizes = _sizes(info)
    if sizes is None or machine.device not in ("metal", "cuda", "cpu"):
        return None
    device = cast("DeviceKind", machine.device)
    job = Job(info.name, (KVSetting(8, 8),), chunk_length=chunk_length, batch=batch)
    free = max(0, budget(HostMemory(machine.memory_total, machine.memory_free), device))
    needed = 0
    for size in PassSize(batch or default_batch(device, chunk_length)).sizes():
        needed = need(sizes, job, device, size).total
        if needed <= free:
            break
    return Fit(needed, free, machine.memory_total)


@lru_cache(maxsize=16)
def _sizes(info: ModelInfo) -> ModelSizes | None:
    """Sizes of a model, read once: this is asked for at every change of an option."""
    from scorer.models.sizes import model_sizes

    try:
        return model_sizes(info)
    except (QfidError, OSError, ValueError, KeyError):
        return None
