"""The relatives of a model in the cache, looked for in a process of its own.

Whether two models are the same takes their tokenizers, whose files are foreign.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple, dataclass
from typing import Any

from scorer.common.bounded_process import Asked, BoundedProcess, nobody
from scorer.common.errors import InputError, QfidError
from scorer.models.config import read_object
from scorer.models.info import ModelInfo
from scorer.models.listing import Unscorable, iter_models
from scorer.models.model_difference import quick_difference
from scorer.models.weight_precision import WeightPrecision

SECONDS = 120.0
"""How long the answer may take: two tokenizers that are written otherwise take a second or two."""

_MEMORY = 4 << 30
_ANSWER = 4 << 20


@dataclass(frozen=True, slots=True)
class FoundRelative:
    """A cached model that is another in another precision.

    Attributes:
        name: Repo id, or path of a folder.
        precision: In plain words, one line.
        bits_per_weight: Bits of the model for each parameter.
        loaded_bytes: Bytes of the model once it is loaded.
        exact: Whether bits and bytes are certain.
    """

    name: str
    precision: str
    bits_per_weight: float
    loaded_bytes: int
    exact: bool

    @classmethod
    def of(cls, name: str, precision: WeightPrecision) -> FoundRelative:
        """What is said of a precision."""
        return cls(
            name,
            precision.line,
            precision.bits_per_weight,
            precision.loaded_bytes,
            precision.exact,
        )


def read_relatives(model: ModelInfo, asked: Asked = nobody) -> tuple[FoundRelative, ...]:
    """The relatives of a model in the cache, most bits per weight first.

    Args:
        model: The model.
        asked: Ends the wait.

    Raises:
        InputError: The process gives no answer.
        WillNotFit: It takes too much memory.
        QfidError: What ``asked`` returned.
    """
    if not _may_have_relatives(model):
        return ()
    request = {"model": model.name, "revision": model.revision}
    with BoundedProcess("--relatives") as process:
        process.ask(
            request,
            f"looking for relatives of `{model.name}`",
            seconds=SECONDS,
            memory=_MEMORY,
            most=_ANSWER,
            hint="name a copy itself: w=org/name",
        )
        head, _ = process.answer(asked)
    try:
        return tuple(FoundRelative(*values) for values in head["relatives"])
    except (KeyError, TypeError) as error:
        raise InputError(f"looking for relatives of `{model.name}` gave no answer") from error


def _may_have_relatives(model: ModelInfo) -> bool:
    """Whether the config of any cached model allows it to be one; a process costs half a second."""
    try:
        mine = read_object(model.path / "config.json")
    except QfidError:
        return False
    here = model.path.resolve()
    for other in iter_models():
        if isinstance(other, Unscorable) or other.path.resolve() == here:
            continue
        with suppress(QfidError, OSError, ValueError, KeyError, TypeError):
            theirs = read_object(other.path / "config.json")
            if quick_difference(model, other, mine, theirs) is None:
                return True
    return False


def to_json(found: Sequence[FoundRelative]) -> dict[str, Any]:
    """The head of the answer."""
    return {"relatives": [list(astuple(each)) for each in found]}
