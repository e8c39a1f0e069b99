"""What is stored with the positions of one cell: how it was scored, not what came of it.

Pure standard library.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field
from typing import Any

from scorer.runs.engagement import Engagement
from scorer.runs.role_runs import RoleRuns, shared
from scorer.stats.noise_floor import PerturbedRepeats


@dataclass(frozen=True, slots=True)
class SmallerPass:
    """How much went through the model at once where it was less than the run planned.

    Attributes:
        batch: Chunks per forward pass.
        tile_bytes: Bytes of one tile of float32 logits; 0 where an older file does not say.
    """

    batch: int
    tile_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFacts:
    """Facts of one chunk under one setting.

    Attributes:
        seconds: Time spent on the cell.
        peak_memory_bytes: Peak memory of the process until then; 0 where not measured.
        smaller_pass: Set where memory was short.
        engagement: What was seen to quantize; stored with the first chunk that a process scores
            of a setting.
        perturbed: What each perturbed repeat of the cell came to.
        roles: Whose the cell's positions are; empty for a text without roles.
    """

    seconds: float = 0.0
    peak_memory_bytes: int = 0
    smaller_pass: SmallerPass | None = None
    engagement: Engagement | None = None
    perturbed: PerturbedRepeats = field(default_factory=PerturbedRepeats)
    roles: RoleRuns = ()

    def to_json(self) -> dict[str, Any]:
        """The facts as JSON values; what is not set is left out."""
        data: dict[str, Any] = {
            "seconds": self.seconds,
            "peak_memory_bytes": self.peak_memory_bytes,
        }
        if self.smaller_pass is not None:
            made = self.smaller_pass
            data["pass"] = {"batch": made.batch, "tile_bytes": made.tile_bytes}
        if self.engagement is not None:
            data["engagement"] = self.engagement.to_json()
        if self.perturbed.kl_sums:
            data["perturbed_kl_sums"] = list(self.perturbed.kl_sums)
        if self.perturbed.flips:
            data["perturbed_flips"] = list(self.perturbed.flips)
            data["perturbed_largest_kl"] = [list(kl) for kl in self.perturbed.largest]
        if self.roles:
            data["roles"] = [list(run) for run in self.roles]
        return data

    @classmethod
    def from_json(cls, data: Any) -> ChunkFacts:
        """Read what :meth:`to_json` wrote; keys that this version does not know are ignored.

        Raises:
            ValueError: It is not an object, or a known key has another type.
        """
        if not isinstance(data, dict):
            raise ValueError("the facts are not an object")
        made, engagement = data.get("pass"), data.get("engagement")
        try:
            return cls(
                seconds=_number(data.get("seconds", 0.0)),
                peak_memory_bytes=_whole(data.get("peak_memory_bytes", 0)),
                smaller_pass=None
                if made is None
                else SmallerPass(_whole(made["batch"]), _whole(made.get("tile_bytes", 0))),
                engagement=None if engagement is None else Engagement.from_json(engagement),
                perturbed=PerturbedRepeats(
                    kl_sums=tuple(map(_number, data.get("perturbed_kl_sums", ()))),
                    flips=tuple(map(_whole, data.get("perturbed_flips", ()))),
                    largest=tuple(
                        tuple(map(_number, kl)) for kl in data.get("perturbed_largest_kl", ())
                    ),
                ),
                roles=shared(tuple(_run(*run) for run in data.get("roles", ()))),
            )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise ValueError("a known key of the facts has another type") from error


def _run(role: Any, count: Any) -> tuple[str, int]:
    if not isinstance(role, str) or _whole(count) < 1:
        raise TypeError("not a role and a number of positions")
    return sys.intern(role), count


def _number(value: Any) -> float:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise TypeError("not a finite number")
    return float(value)


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("not a whole number")
    return value
