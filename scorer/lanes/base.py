"""What a lane is: a model, reference or candidate, that turns a batch of tokens into logits."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx
from numpy.typing import NDArray

from scorer.common.errors import SettingFailed
from scorer.device.dispatch import dispatch, dispatch_read
from scorer.lanes.prefixes import Prefixes
from scorer.lanes.states import MemoryStates, PendingStates
from scorer.lm.caches import fresh_caches
from scorer.lm.model_handle import ModelHandle
from scorer.lm.split_model import SplitModel


class CacheNotFinite(SettingFailed):
    """Keys or values were NaN or infinite before they were quantized."""


class Findings(Protocol):
    """What a lane found out about itself in one pass."""

    def to_json(self) -> dict[str, Any]:
        """The findings as JSON values."""


def _no_findings(checks: Sequence[NDArray[Any]]) -> Findings | None:
    """Findings of a pass without checks, whatever their shape and dtype."""
    return None


@dataclass(frozen=True, slots=True)
class PendingPass:
    """A forward pass that the device computes.

    Attributes:
        states: Handle of the final hidden states (B, T, H) in the compute dtype.
        checks: Small arrays that say what the pass did, lazy or dispatched; (N, 2) bool or uint8.
        findings: Called with the checks once they are read; gives what they say of this pass.
            Raises SettingFailed where the pass did not do what was asked for.
    """

    states: PendingStates
    checks: Sequence[mx.array] = ()
    findings: Callable[[Sequence[NDArray[Any]]], Findings | None] = _no_findings


class Lane(Protocol):
    """One thing to score, and all that the loop knows of it."""

    @property
    def key(self) -> str:
        """The name under which its results are stored."""

    @property
    def first_position(self) -> int:
        """The first position of a chunk that may be scored."""

    def acquire(self) -> None:
        """Keep the lane's model loaded until :meth:`release`; calls are counted."""

    def release(self) -> None:
        """Stop using the model; nothing is computed until it is acquired again."""

    def begin(self, tokens: mx.array) -> PendingPass:
        """Dispatch a forward pass over tokens (B, T) int32.

        Raises:
            SettingFailed: The lane cannot do what its key says.
        """

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        """Logits of the positions ``[start, stop)`` of final hidden states.

        Args:
            hidden: (B, T, H) in the compute dtype.
            start: First position.
            stop: The position after the last.

        Returns:
            (B, stop − start, V) in the compute dtype or float32.
        """


def completed(pending: PendingPass) -> tuple[mx.array, Findings | None]:
    """Wait for a pass.

    Returns:
        Final hidden states (B, T, H) in the compute dtype, evaluated, and the findings.

    Raises:
        SettingFailed: Something that was asked for did not quantize, or was not finite.
    """
    states = pending.states.load()
    mx.eval(states)
    return states, pending.findings(dispatch_read(pending.checks)())


class ModelLane(ABC):
    """What lanes over one model share: its handle, its tail, and passes that are waited for.

    Attributes:
        model: Handle of the model.
    """

    def __init__(self, model: ModelHandle) -> None:
        self.model = model

    @property
    def split(self) -> SplitModel:
        """The model's body and tail."""
        return self.model.split

    def acquire(self) -> None:
        """Keep the model loaded until :meth:`release`; calls are counted."""
        self.model.acquire()

    def release(self) -> None:
        """Stop using the model."""
        self.model.release()

    @abstractmethod
    def begin(self, tokens: mx.array) -> PendingPass:
        """Dispatch a forward pass over tokens (B, T) int32."""

    def hidden(self, tokens: mx.array) -> mx.array:
        """Final hidden states (B, T, H), compute dtype, of tokens (B, T) int32, evaluated.

        Raises:
            SettingFailed: As :meth:`begin`, and as :func:`completed`.
        """
        return completed(self.begin(tokens))[0]

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        """Logits (B, stop − start, V), compute dtype or float32, see :meth:`Lane.logits`."""
        return self.split.logits(hidden, start, stop)


class ReferenceLane(ModelLane):
    """Full-precision cache. A cache is always passed: some models differ without one.

    Attributes:
        prefixes: What its pass is offered to, for lanes of a deployment; None for none.
        key: ``reference``.
        first_position: 0.
    """

    first_position = 0

    def __init__(self, model: ModelHandle, prefixes: Prefixes | None = None) -> None:
        super().__init__(model)
        self.key = "reference"
        self.prefixes = prefixes

    def unshared(self) -> ReferenceLane:
        """The same lane with nothing shared with other lanes but the model."""
        return ReferenceLane(self.model)

    def begin(self, tokens: mx.array) -> PendingPass:
        """Dispatch a forward pass over tokens (B, T) int32."""
        if self.prefixes is not None:
            self.prefixes.begin(tokens)
        caches = fresh_caches(self.split.model)
        hidden = self.split.hidden(tokens, caches)
        dispatch(hidden)
        if self.prefixes is not None:
            self.prefixes.offer(tokens, hidden, caches)
        return PendingPass(MemoryStates(hidden))
