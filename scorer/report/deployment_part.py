"""What to run where, as a part of a report. Pure standard library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from scorer.common.device_kind import DeviceKind
from scorer.common.json_values import OMITTED

REFERENCE_CELL = "reference"
"""Name of the cell of the reference with a KV cache at full precision."""

PickReason = Literal[
    "cheapest good", "best that fits", "nothing fits", "not scored what fits", "not run by mlx-lm"
]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedCell:
    """A setting in a deployment.

    Attributes:
        setting: In notation, or :data:`REFERENCE_CELL`.
        weight_bytes: Bytes of its weights.
        cache_bytes: Bytes of the KV caches of all sequences at the context.
        peak_bytes: What a prefill block takes beyond both.
        total_bytes: The sum of the three.
        step: The prefill step that is counted on.
        least_bytes: The total at the step at which it takes the least; settings are ranked by it.
        fits: Whether that fits in the memory; true where there is no limit.
        on_frontier: Whether no other cell takes fewer bytes at a lower KL.
    """

    setting: str
    weight_bytes: int
    cache_bytes: int
    peak_bytes: int
    total_bytes: int
    step: int
    least_bytes: int
    fits: bool
    on_frontier: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextChoice:
    """Neighbouring contexts at which the same is chosen.

    Attributes:
        contexts: Tokens, ascending.
        setting: The choice; None where nothing fits.
        total_bytes: Its total bytes at each of the contexts; empty where nothing fits.
        steps: Its prefill step at each of them, likewise.
        until: The last context at which it is chosen; None for the last row.
    """

    contexts: tuple[int, ...]
    setting: str | None
    total_bytes: tuple[int, ...]
    steps: tuple[int, ...]
    until: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentPart:
    """What to run in a given memory at a given context.

    Attributes:
        memory: Bytes that it may take; None for no limit.
        context: Tokens of a sequence.
        parallel: Sequences whose caches are held.
        device: The device it is to run on.
        cells: The reference, then every setting of the report.
        pick: The choice; None where there is none.
        reason: Why it is that one, or why there is none.
        tied_with: Settings that fit and cannot be told apart from the pick.
        cheaper_alike: Settings that take less, are not settled as good and cannot be told apart
            from the pick.
        sentences: The choice in words, each without its full stop.
        commands: The lines that run it, in order; empty where mlx-lm has none.
        notes: What those lines cannot say or do.
        contexts: What is chosen at other contexts.
    """

    memory: int | None
    context: int
    parallel: int
    device: DeviceKind
    cells: tuple[PlacedCell, ...]
    pick: str | None
    reason: PickReason
    tied_with: tuple[str, ...]
    sentences: tuple[str, ...]
    commands: tuple[str, ...]
    notes: tuple[str, ...]
    contexts: tuple[ContextChoice, ...]
    cheaper_alike: tuple[str, ...] = field(default=(), metadata=OMITTED)

    def cell(self, setting: str) -> PlacedCell | None:
        """The cell of a setting; None where it has none."""
        return next((cell for cell in self.cells if cell.setting == setting), None)
