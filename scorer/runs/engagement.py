"""What a forward pass was seen to quantize, as a value that is stored with a run's first chunk.

Pure standard library. What looks at the caches is ``scorer.lanes.kv.engagement``.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from scorer.common.json_values import stored_as


@dataclass(frozen=True, slots=True)
class SideEngagement:
    """One side of one cache after a forward pass.

    Attributes:
        layer: Place of the cache in the model's list, ``3`` or ``3.1`` inside a composite one.
        side: ``k`` or ``v``.
        cache_class: Name of the cache's class; ``class`` in a report.
        bits: Bits per element, 16 for full precision.
        group_size: Elements that share a scale and a bias.
        tokens: Tokens quantized.
        stored_bytes: Bytes of the codes, scales and biases of the tokens held, one sequence; None
            where no codes are stored.
        changed: Whether quantizing changed any element; None where it was not looked at.
    """

    layer: str
    side: str
    cache_class: str = field(metadata=stored_as("class"))
    bits: int
    group_size: int
    tokens: int
    stored_bytes: int | None = None
    changed: bool | None = None


@dataclass(frozen=True, slots=True)
class Engagement:
    """What one forward pass quantized.

    Attributes:
        sides: One entry per cache and side that holds keys or values.
        quantized: Layers with at least one quantized cache: entries of the model's own list of
            caches, a composite cache counting once.
        skipped: Layers without keys and values: place in the list and class of the cache, or
            ``never filled``.
    """

    sides: tuple[SideEngagement, ...]
    quantized: int
    skipped: tuple[tuple[str, str], ...]

    @property
    def total(self) -> int:
        """Layers that have a cache, quantized and skipped."""
        return self.quantized + len(self.skipped)

    @property
    def bytes_per_token(self) -> float | None:
        """Stored bytes per token over all layers, in the dtype computed with; None if unknown."""
        total = 0.0
        for side in self.sides:
            if side.stored_bytes is None or not side.tokens:
                return None
            total += side.stored_bytes / side.tokens
        return total

    def to_json(self) -> dict[str, Any]:
        """The engagement as JSON values."""
        return {
            "sides": [asdict(side) for side in self.sides],
            "quantized": self.quantized,
            "skipped": [list(entry) for entry in self.skipped],
        }

    @classmethod
    def from_json(cls, data: Any) -> Engagement:
        """Read what :meth:`to_json` wrote; keys that this version does not know are ignored.

        Raises:
            KeyError, TypeError, ValueError: A key is missing or of another type.
        """
        return cls(
            sides=tuple(
                SideEngagement(
                    **{name: _typed(side[name], *kinds) for name, kinds in _SIDE_TYPES.items()}
                )
                for side in _typed(data["sides"], list)
            ),
            quantized=_typed(data["quantized"], int),
            skipped=tuple((str(index), str(name)) for index, name in _typed(data["skipped"], list)),
        )


_SIDE_TYPES: dict[str, tuple[type, ...]] = {
    "layer": (str,),
    "side": (str,),
    "cache_class": (str,),
    "bits": (int,),
    "group_size": (int,),
    "tokens": (int,),
    "stored_bytes": (int, type(None)),
    "changed": (bool, type(None)),
}


def _typed(value: Any, *kinds: type) -> Any:
    if type(value) not in kinds:
        raise TypeError(f"a value of type {type(value).__name__}")
    return value
