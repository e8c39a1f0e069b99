"""The memory that a KV setting takes, before anything is loaded.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorer.report.formats.inline import digits
from scorer.spec.settings.kv import KVSetting

if TYPE_CHECKING:
    from scorer.spec.geometry import KVGeometry

CONTEXTS = (8 << 10, 32 << 10, 128 << 10)
"""Context lengths that costs are given for, tokens."""


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
    """The cost of a setting for a model; of the 16-bit cache for None."""
    full = geometry.bytes_per_token_16bit()
    if setting is None:
        return KVCost(full, 1.0, tuple(c * geometry.bytes_per_token_16bit(c) for c in CONTEXTS))
    per_token = geometry.bytes_per_token(setting)
    return KVCost(
        per_token,
        per_token / full if full else 1.0,
        tuple(c * geometry.bytes_per_token(setting, c) for c in CONTEXTS),
    )


def short_bytes(value: float) -> str:
    """A number of bytes in B, KiB, MiB, GiB or TiB, with three digits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1000:
            return f"{digits(value, significant=3)} {unit}"
        value /= 1024
    return f"{digits(value, significant=3)} TiB"
