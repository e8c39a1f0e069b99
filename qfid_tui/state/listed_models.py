"""The list of models: which are shown, in which order."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable
from scorer.models.resolve import DEMO

ModelOrder = Literal["last used", "size", "name"]
"""By what the list is sorted."""
ORDERS: tuple[ModelOrder, ...] = ("last used", "size", "name")
"""The orders that a key steps through."""


def listed_models(
    found: Iterable[ModelInfo | Unscorable], text: str = "", order: ModelOrder = "last used"
) -> list[ModelInfo | Unscorable]:
    """The models whose names contain every word of a text.

    Args:
        found: The models of the cache.
        text: The words, in any case; empty for all models.
        order: ``last used``: the latest first. ``size``: the largest first. ``name``: by alphabet,
            in any case. The built-in model follows the others, then the models that cannot be
            scored.
    """
    words = text.lower().split()
    kept = [model for model in found if all(word in model.name.lower() for word in words)]
    return sorted(kept, key=lambda model: _place(model, order))


def _place(model: ModelInfo | Unscorable, order: ModelOrder) -> tuple[bool, bool, float, str, str]:
    value = 0.0
    if order == "size":
        value = -float(model.size_bytes)
    elif order == "last used" and isinstance(model, ModelInfo):
        value = -(model.last_used or 0.0)
    is_lacking = not isinstance(model, ModelInfo)
    return is_lacking, model.name == DEMO, value, model.name.lower(), model.name
