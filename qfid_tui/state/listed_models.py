"""The list of models: which are shown, in which order."""

from __future__ import annotations

from collections.abc import Iterable

from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable
from scorer.models.resolve import DEMO


def listed_models(
    found: Iterable[ModelInfo | Unscorable], text: str = ""
) -> list[ModelInfo | Unscorable]:
    """The models whose names contain every word of a text.

    The last used model is first; the built-in model follows, then the models that cannot be scored.
    """
    words = text.lower().split()
    return sorted((m for m in found if all(w in m.name.lower() for w in words)), key=_place)


def _place(model: ModelInfo | Unscorable) -> tuple[bool, bool, float, str]:
    last_used = (model.last_used or 0.0) if isinstance(model, ModelInfo) else 0.0
    return not isinstance(model, ModelInfo), model.name == DEMO, -last_used, model.name
