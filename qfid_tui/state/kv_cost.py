"""The memory that a setting takes, before anything is loaded.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from scorer.report.formats.inline import ROUGHLY, digits

if TYPE_CHECKING:
    from scorer.spec.geometry import KVGeometry
    from scorer.spec.settings.base import Setting

CONTEXTS = (8 << 10, 32 << 10, 128 << 10)
"""Context lengths that costs are given for, tokens."""


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
    """The cost of a setting for a model; of the 16-bit cache for None."""
    full, exact = geometry.bytes_per_token_16bit(), geometry.exact
    if setting is None:
        at = tuple(c * geometry.bytes_per_token_16bit(c) for c in CONTEXTS)
        return KVCost(full, 1.0, at, exact)
    setting = setting.resolved(geometry)
    per_token = setting.bytes_per_token(geometry)
    return KVCost(
        per_token,
        per_token / full if full else 1.0,
        tuple(c * setting.bytes_per_token(geometry, c) for c in CONTEXTS),
        exact,
    )


def short_bytes(value: float) -> str:
    """A number of bytes in B, KiB, MiB, GiB or TiB, with three digits."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(value) < 1000:
            return f"{digits(value, significant=3)} {unit}"
        value /= 1024
    return f"{digits(value, significant=3)} TiB"
