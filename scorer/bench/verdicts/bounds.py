"""What a bound on a number would miss: falls below it, and cells above it that do not fall."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scorer.bench.verdicts.auc import Task, label
from scorer.bench.verdicts.cells import Cell, Study

MISSED = 0.05
"""Share of the falls that a proposed bound may miss."""


@dataclass(frozen=True, slots=True)
class Split:
    """Cells on both sides of a bound.

    Attributes:
        within: Cells within the bound.
        within_falling: Those of them that fall: the bound misses them.
        beyond: Cells beyond it.
        beyond_falling: Those of them that fall.
    """

    within: int
    within_falling: int
    beyond: int
    beyond_falling: int

    @property
    def sensitivity(self) -> float | None:
        """Share of the cells that fall which lie beyond the bound; None where none falls."""
        falling = self.within_falling + self.beyond_falling
        return self.beyond_falling / falling if falling else None

    @property
    def specificity(self) -> float | None:
        """Share of the cells that do not fall which lie within; None where all fall."""
        calm = self.within + self.beyond - self.within_falling - self.beyond_falling
        return (self.within - self.within_falling) / calm if calm else None

    @property
    def falling_within(self) -> float | None:
        """Share of the cells within the bound that fall; None where none lies within."""
        return self.within_falling / self.within if self.within else None


@dataclass(frozen=True, slots=True)
class Proposal:
    """The largest bound that misses few falls.

    Attributes:
        bound: Of all models.
        split: What it does to their cells.
        lowest: The smallest of the bounds that leave one model out.
        highest: The largest of them.
        left_out: What these bounds do to the cells of the model that they leave out, added up.
    """

    bound: float
    split: Split
    lowest: float
    highest: float
    left_out: Split


def split(cells: Sequence[Cell], within: Callable[[Cell], bool], task: Task) -> Split:
    """Count cells on both sides of a bound; those of a model that lacks the task do not count."""
    counts = {(side, falls): 0 for side in (True, False) for falls in (True, False)}
    for cell in cells:
        falls = label(cell, task)
        if falls is not None:
            counts[within(cell), falls] += 1
    return Split(
        within=counts[True, True] + counts[True, False],
        within_falling=counts[True, True],
        beyond=counts[False, True] + counts[False, False],
        beyond_falling=counts[False, True],
    )


def proposal(study: Study, value: Callable[[Cell], float], task: Task) -> Proposal | None:
    """Propose a bound on a number; None where too little falls to say.

    Args:
        study: All cells.
        value: The number; higher ones are to fall.
        task: The task; None for any.
    """
    bound = _bound(study.all, value, task)
    others = {
        model: _bound([cell for name in study.cells if name != model for cell in study.cells[name]],
                      value, task)
        for model in study.cells
    }  # fmt: skip
    known = {model: one for model, one in others.items() if one is not None}
    if bound is None or not known:
        return None
    return Proposal(
        bound,
        split(study.all, lambda cell: value(cell) <= bound, task),
        min(known.values()),
        max(known.values()),
        _left_out(study, value, task, known),
    )


def _left_out(
    study: Study, value: Callable[[Cell], float], task: Task, bounds: Mapping[str, float]
) -> Split:
    return split(
        [cell for cell in study.all if cell.model in bounds],
        lambda cell: value(cell) <= bounds[cell.model],
        task,
    )


def _bound(cells: Sequence[Cell], value: Callable[[Cell], float], task: Task) -> float | None:
    """The largest value of a calm cell below which at most :data:`MISSED` of the falls lie."""
    falling = np.sort([value(cell) for cell in cells if label(cell, task)])
    if not len(falling):
        return None
    # The first fall that may not be missed; the bound lies below it.
    first = falling[int(MISSED * len(falling))]
    calm = [one for cell in cells if label(cell, task) is False and (one := value(cell)) < first]
    return max(calm, default=None)
