"""What a lane is: a model, reference or candidate, that turns a batch of tokens into logits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import mlx.core as mx
from numpy.typing import NDArray

from scorer.device.dispatch import begin, begin_reading
from scorer.lanes.prefixes import Prefixes
from scorer.lm.caches import fresh_caches
from scorer.lm.split_model import SplitModel


@dataclass(frozen=True, slots=True)
class Begun:
    """A forward pass that the device works on.

    Attributes:
        states: (B, T, H) final hidden states, being computed.
        checks: Small arrays that say what the pass did, being computed.
        settle: Looks at them once they are read; raises SettingFailed.
    """

    states: mx.array
    checks: Sequence[mx.array] = ()
    settle: Callable[[Sequence[NDArray[Any]]], None] = lambda found: None


class Lane(Protocol):
    """What the loop needs to know of a lane."""

    def begin(self, tokens: mx.array) -> Begun:
        """Begin a forward pass over tokens (B, T)."""

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        """Logits (B, stop − start, V) of a block of positions."""


def finished(begun: Begun) -> mx.array:
    """The states of a pass, waited for.

    Raises:
        SettingFailed: Something that was asked for did not quantize, or was not finite.
    """
    mx.eval(begun.states)
    begun.settle(begin_reading(begun.checks)())
    return begun.states


@dataclass(slots=True)
class ReferenceLane:
    """Full-precision cache. A cache is always passed: some models differ without one.

    Attributes:
        split: The model.
        prefixes: What its pass is offered to, for lanes of a deployment; None for none.
    """

    split: SplitModel
    prefixes: Prefixes | None = None

    def begin(self, tokens: mx.array) -> Begun:
        """Begin a forward pass over tokens (B, T)."""
        if self.prefixes is not None:
            self.prefixes.begin(tokens)
        caches = fresh_caches(self.split.model)
        hidden = self.split.hidden(tokens, caches)
        begin(hidden)
        if self.prefixes is not None:
            self.prefixes.offer(tokens, hidden, caches)
        return Begun(hidden)

    def hidden(self, tokens: mx.array) -> mx.array:
        """Final hidden states of tokens (B, T), evaluated."""
        return finished(self.begin(tokens))

    def logits(self, hidden: mx.array, start: int, stop: int) -> mx.array:
        """Logits (B, stop − start, V) of a block of positions."""
        return self.split.logits(hidden, start, stop)
