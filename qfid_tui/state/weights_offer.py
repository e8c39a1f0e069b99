"""Weights that can be compared with a model: relatives in the cache, and precisions made of it.

Pure standard library; :mod:`qfid_tui.state.model_reading` reads them in a thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from qfid_tui.state.choices import MADE

if TYPE_CHECKING:
    from scorer.runs.shape_facts import ShapeFacts
    from scorer.runs.weight_facts import WeightFacts
    from scorer.spec.settings.weights import StoredWeights, WeightsSource


@dataclass(frozen=True, slots=True)
class WeightsInfo:
    """A set of weights, as the table and the grid describe it.

    Attributes:
        name: Short name: ``w4``, or the last part of a repo id.
        precision: In plain words, one line.
        bits_per_weight: Bits of the model for each parameter.
        weight_bytes: Bytes of the model once it is loaded for use.
        exact: Whether bits and bytes are certain.
    """

    name: str
    precision: str
    bits_per_weight: float
    weight_bytes: int
    exact: bool = True

    @classmethod
    def of_facts(cls, facts: WeightFacts) -> WeightsInfo:
        """What a report says of weights."""
        return cls(
            facts.name,
            facts.precision,
            facts.bits_per_weight,
            facts.weight_bytes,
            not facts.predicted,
        )


@dataclass(frozen=True, slots=True)
class WeightsOffer:
    """What can be compared with a model.

    Attributes:
        path: Folder of the model.
        own: Its own weights; None where their headers cannot be read.
        shape: Sizes that the memory of a deployment follows from; None likewise.
        relatives: Cached models and GGUF files of its folder that are it in another precision, of
            each kind most bits first.
        known: Weights in notation to what is known of them: relatives, what can be made, and what
            the user typed.
        asked: Weights that were looked for, found or not.
        reason: Why nothing can be made of it; "" where something can.
        trouble: Why its relatives are not known; "" where they are.
    """

    path: Path
    own: WeightsInfo | None = None
    shape: ShapeFacts | None = None
    relatives: tuple[StoredWeights, ...] = ()
    known: Mapping[str, WeightsInfo] = field(default_factory=dict)
    asked: frozenset[str] = frozenset()
    reason: str = ""
    trouble: str = ""

    @property
    def sources(self) -> tuple[WeightsSource, ...]:
        """What the table offers: relatives, then what can be made."""
        made = (source for source in MADE if source.key in self.known)
        return (*self.relatives, *made)
