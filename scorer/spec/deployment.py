"""Where a model is to run: the memory, context and device that a choice is made for.

Pure standard library.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from scorer.common.device_kind import DeviceKind
from scorer.common.errors import InputError
from scorer.spec.amounts import whole_number

DEFAULT_CONTEXT = 8192
"""Tokens that total bytes are about where nobody says."""


@dataclass(frozen=True, slots=True)
class DeploymentSpec:
    """Where a model is to run; no number of a run depends on it.

    Attributes:
        memory: Bytes that it may take; None for no limit.
        context: Tokens of a sequence; None for the default, or for the model's own context where
            that is less.
        parallel: Sequences whose caches are held.
        device: The device it is to run on.
        step: Tokens of a prefill block; None to choose it.
    """

    memory: int | None = None
    context: int | None = None
    parallel: int = 1
    device: DeviceKind = "metal"
    step: int | None = None

    def __post_init__(self) -> None:
        """Refuse numbers that no deployment has."""
        for value, name in (
            (self.memory, "memory"),
            (self.context, "context"),
            (self.parallel, "parallel"),
            (self.step, "prefill step"),
        ):
            if value is not None and whole_number(value, name) < 1:
                raise InputError(f"{name} `{value}` is less than 1", "give a number above 0")
        if self.device not in get_args(DeviceKind):
            kinds = ", ".join(get_args(DeviceKind))
            raise InputError(f"`{self.device}` is not a device to run on", f"one of: {kinds}")

    def context_for(self, max_context: int | None) -> int:
        """Tokens of a sequence for a model that was made for ``max_context`` tokens."""
        if self.context is not None:
            return self.context
        return min(DEFAULT_CONTEXT, max_context or DEFAULT_CONTEXT)
