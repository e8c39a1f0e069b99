"""Which cached models are the same model in another precision."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from scorer.common.errors import QfidError
from scorer.models.config import read_object
from scorer.models.info import ModelInfo
from scorer.models.kept_comparisons import kept_tokenizer_difference
from scorer.models.listing import Unscorable, iter_models
from scorer.models.model_difference import check_loads, model_difference, quick_difference
from scorer.models.precision import precision_of
from scorer.models.weight_layout import WeightLayout, read_layout
from scorer.models.weight_precision import WeightPrecision

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Relative:
    """A cached model that is another in another precision.

    Attributes:
        model: The model.
        precision: Its precision.
    """

    model: ModelInfo
    precision: WeightPrecision


@dataclass(frozen=True, slots=True)
class Stranger:
    """A cached model that is no relative.

    Attributes:
        name: Its name.
        reason: Why it is none, one line that speaks of it as "it".
    """

    name: str
    reason: str


@dataclass(frozen=True, slots=True)
class Relatives:
    """The cached models, seen from one of them.

    Attributes:
        relatives: Those that are the same model, most bits per weight first.
        strangers: The others, sorted by name.
    """

    relatives: tuple[Relative, ...]
    strangers: tuple[Stranger, ...]


def find_relatives(
    reference: ModelInfo, models: Iterable[ModelInfo | Unscorable] | None = None
) -> Relatives:
    """Find the relatives of a model among the cached ones.

    Configs are compared first, then headers and tokenizers; no weights are read, but for output
    heads that may be the embedding again. A damaged model is a stranger, not an error.

    Args:
        reference: The model; it is in neither list itself.
        models: Models to look at; None for all of the cache.
    """
    found: list[Relative] = []
    strangers: list[Stranger] = []
    mine = _try(partial(read_layout, reference))
    here = reference.path.resolve()
    for model in iter_models() if models is None else models:
        if isinstance(model, Unscorable):
            strangers.append(Stranger(model.name, model.reason))
        elif isinstance(mine, str):
            strangers.append(Stranger(model.name, f"the reference cannot be read: {mine}"))
        elif model.path.resolve() != here:
            outcome = _try(partial(_compared, reference, model, mine))
            if isinstance(outcome, str):
                strangers.append(Stranger(model.name, outcome))
            else:
                found.append(Relative(model, outcome))
    found.sort(key=lambda each: (-each.precision.bits_per_weight, each.model.name))
    return Relatives(tuple(found), tuple(sorted(strangers, key=lambda each: each.name)))


def _try(function: Callable[[], _T | str]) -> _T | str:
    """What a function returns, or in one line why it cannot."""
    try:
        return function()
    except QfidError as error:
        return error.message
    except Exception as error:
        # A list shows every model, whatever its state.
        return f"unreadable: {type(error).__name__}"


def _compared(reference: ModelInfo, model: ModelInfo, mine: WeightLayout) -> WeightPrecision | str:
    """The precision of a relative, or why a model is none."""
    config = read_object(model.path / "config.json")
    difference = quick_difference(reference, model, mine.config, config)
    if difference is not None:
        return difference
    theirs = read_layout(model)
    difference = model_difference(reference, model, mine, theirs)
    difference = difference or kept_tokenizer_difference(reference.path, model.path)
    if difference is not None:
        return difference
    check_loads(model, theirs)
    return precision_of(theirs)
