"""A candidate with weights of its own and a KV cache at full precision."""

from __future__ import annotations

from scorer.lanes.base import ReferenceLane
from scorer.lanes.prefixes import Prefixes
from scorer.lm.model_handle import ModelHandle


class WeightsLane(ReferenceLane):
    """Other weights of the reference's architecture, run as the reference is.

    Args:
        model: Handle of the model with these weights.
        key: The setting in notation.
        prefixes: What its pass is offered to, for lanes over the same weights; None for none.
    """

    def __init__(self, model: ModelHandle, key: str, prefixes: Prefixes | None = None) -> None:
        super().__init__(model, prefixes)
        self.key = key

    def unshared(self) -> WeightsLane:
        """The same lane with nothing shared with other lanes but the model."""
        return WeightsLane(self.model, self.key)
