"""Parts of a report that compares weights, as values. Pure standard library."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from scorer.common.json_values import OMITTED
from scorer.stats.intervals import Interval, UnitKind

Guilty = Literal["weights", "cache", "undecided"]


@dataclass(frozen=True, slots=True, kw_only=True)
class GridPart:
    """The two axes of a run that compares weights; a cell is the setting that joins both.

    Attributes:
        weights: Weights in notation, down; "" for the reference's.
        caches: KV settings in notation, across; "" for full precision.
        cells: A row for each of the weights: the setting of each column, None where it was not
            asked for. The cell of the reference with a cache at full precision is None.
    """

    weights: tuple[str, ...]
    caches: tuple[str, ...]
    cells: tuple[tuple[str | None, ...], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class InteractionPart:
    """What weights and KV cache cost together, against the sum of what each costs alone.

    Attributes:
        setting: The pair in notation.
        weights: The weights alone, in notation.
        cache: The KV setting alone.
        joint_kl: KL mean of the pair over the common chunks, nats.
        weights_kl: That of the weights alone, over the positions that the pair is scored on.
        cache_kl: That of the KV setting alone.
        interaction: The first minus the other two; None where one is infinite.
        interval: Its 95 % interval, nats; None where there is none.
        misleads: Whether adding the two would have misled here: the interaction is not 0, and the
            sum reaches another tier of the KL mean. None where there is no interval.
        unit: What was taken as independent.
        n_chunks: Chunks compared.
        label: What the interval speaks for where that is not any text of the kind; else "".
        guilty: Which of the two drifts more where the pair is bad; ``undecided`` where they are not
            told apart. None where the pair is not bad.
        sentences: The same in words, each without its full stop.
    """

    setting: str
    weights: str
    cache: str
    joint_kl: float
    weights_kl: float
    cache_kl: float
    interaction: float | None
    interval: Interval | None
    misleads: bool | None
    unit: UnitKind
    n_chunks: int
    label: str = field(default="", metadata=OMITTED)
    guilty: Guilty | None = None
    sentences: tuple[str, ...]
