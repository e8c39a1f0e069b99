"""What a KV setting costs, and whether a run fits, before anything is loaded.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorer.inline import digits
from scorer.job import KVSetting

if TYPE_CHECKING:
    from scorer.events import Hello
    from scorer.geometry import KVGeometry
    from scorer.models import ModelInfo

CONTEXTS = (8 << 10, 32 << 10, 128 << 10)
"""Contexts that the cost is told for, tokens."""

# What scoring takes above weights and caches: MLX, Python and one tile of logits.
_WORKSPACE = 1 << 30
# 16-bit scale and bias for every 64 weights, as mlx-lm converts by default.
_SCALE_BITS = 0.5


@dataclass(frozen=True, slots=True)
class KVCost:
    """Stored bytes of keys and values.

    Attributes:
        per_token: Bytes per token before any attention window is full.
        share: ``per_token`` as a share of that at 16 bit, 0 to 1.
        at: Bytes in all at each of :data:`CONTEXTS`; sliding layers hold their window at most.
    """

    per_token: float
    share: float
    at: tuple[float, ...]


def kv_cost(geometry: KVGeometry, setting: KVSetting | None) -> KVCost:
    """The cost of a setting for a model; None is the cache at 16 bit."""
    full = geometry.bytes_per_token_16bit()
    if setting is None:
        return KVCost(full, 1.0, tuple(c * geometry.bytes_per_token_16bit(c) for c in CONTEXTS))
    per_token = geometry.bytes_per_token(setting)
    return KVCost(
        per_token,
        per_token / full if full else 1.0,
        tuple(c * geometry.bytes_per_token(setting, c) for c in CONTEXTS),
    )


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a run fits in memory.

    Attributes:
        needed: About how many bytes the run takes.
        free: Bytes free on the device when it was asked.
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


def fit_of(info: ModelInfo, machine: Hello, *, chunk_length: int, batch: int | None) -> Fit:
    """Whether scoring a model fits: its weights, two caches of a batch of chunks, a workspace.

    On the CPU weights are computed with as float32, whatever they are stored as.

    Args:
        info: The model.
        machine: What the scorer said of its device.
        chunk_length: Tokens per chunk.
        batch: Chunks per forward pass; None for as many as the scorer takes.
    """
    on_cpu = machine.device == "cpu"
    weights = float(info.size_bytes)
    if on_cpu and info.weight_bits:
        stored = info.weight_bits + (_SCALE_BITS if info.weight_bits < 16 else 0.0)
        weights *= 32 / stored
    chunks = batch or (1 if on_cpu else 4)
    element = 2 if on_cpu else 1
    cache = chunks * chunk_length * element * info.geometry.bytes_per_token_16bit(chunk_length)
    return Fit(weights + 2 * cache + _WORKSPACE, machine.memory_free, machine.memory_total)
