"""How well a number tells cells that fall from those that do not: AUC and its intervals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scorer.bench.verdicts.cells import FALL, ROUNDING, Cell, Study

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
# None for "any of them".
Task = str | None

MODEL_RESAMPLES = 2000
ITEM_RESAMPLES = 500
_SEED = 17
_ENDS = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class AUC:
    """An area under the ROC curve with its intervals.

    Attributes:
        value: Chance that a cell that falls has a higher value than one that does not, ties half;
            None where all fall or none does.
        falling: Cells that fall.
        cells: All of them.
        models: 95 % interval by resampling models.
        items: 95 % interval by reweighting items: what the noise of the labels alone does; None
            where it is not asked for.
        lost: Share of resamples of models in which all cells fall or none does.
    """

    value: float | None
    falling: int
    cells: int
    models: tuple[float, float] | None = None
    items: tuple[float, float] | None = None
    lost: float = 0.0


def auc(values: Floats, falls: Bools) -> float | None:
    """Area under the ROC curve, by ranks (Mann and Whitney), ties half.

    Args:
        values: (n,) float64; higher ones are to fall. May be infinite.
        falls: (n,) bool.

    Returns:
        None where all fall or none does.
    """
    positive = int(falls.sum())
    negative = len(falls) - positive
    if not positive or not negative:
        return None
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks = (last - (counts - 1) / 2)[inverse.ravel()]
    above = float(ranks[falls].sum()) - positive * (positive + 1) / 2
    return above / (positive * negative)


def label(cell: Cell, task: Task) -> bool | None:
    """Whether a task of a cell falls, or any; None where the model has not learned it."""
    if task is None:
        return any(each.falls for each in cell.tasks.values()) if cell.tasks else None
    return cell.tasks[task].falls if task in cell.tasks else None


def settled(cell: Cell, task: Task) -> bool:
    """Whether the label of a cell is told apart from its opposite by 95 % intervals."""
    if task is not None:
        return task in cell.tasks and cell.tasks[task].settled
    falls = cell.tasks.values()
    return any(each.low > FALL for each in falls) or all(each.high < FALL for each in falls)


def measured_auc(
    study: Study,
    value: Callable[[Cell], float],
    task: Task,
    keep: Callable[[Cell], bool] = lambda _: True,
    *,
    items: bool = False,
) -> AUC:
    """Measure how well a number of a cell says that a task falls.

    Args:
        study: All cells.
        value: The number.
        task: The task; None for any of those that the model has learned.
        keep: Which cells count.
        items: Whether to reweight items, too.
    """
    values: dict[str, Floats] = {}
    falls: dict[str, Bools] = {}
    kept: dict[str, list[int]] = {}
    for model, cells in study.cells.items():
        used = [n for n, cell in enumerate(cells) if keep(cell) and label(cell, task) is not None]
        if used:
            kept[model] = used
            values[model] = np.array([value(cells[n]) for n in used])
            falls[model] = np.array([bool(label(cells[n], task)) for n in used])
    if not kept:
        return AUC(None, 0, 0)
    all_values = np.concatenate(list(values.values()))
    all_falls = np.concatenate(list(falls.values()))
    found = auc(all_values, all_falls)
    count = int(all_falls.sum())
    if found is None:
        return AUC(None, count, len(all_falls))
    by_model, lost = _by_model(values, falls)
    by_item = _by_item(study, all_values, kept, task) if items else None
    return AUC(found, count, len(all_falls), by_model, by_item, lost)


def _interval(found: Sequence[float]) -> tuple[float, float] | None:
    if not found:
        return None
    low, high = np.percentile(found, _ENDS)
    return float(low), float(high)


def _by_model(
    values: Mapping[str, Floats], falls: Mapping[str, Bools]
) -> tuple[tuple[float, float] | None, float]:
    if len(values) < 2:
        return None, 0.0
    rng = np.random.default_rng(_SEED)
    names = list(values)
    found = []
    for _ in range(MODEL_RESAMPLES):
        drawn = [names[n] for n in rng.integers(0, len(names), len(names))]
        one = auc(
            np.concatenate([values[name] for name in drawn]),
            np.concatenate([falls[name] for name in drawn]),
        )
        if one is not None:
            found.append(one)
    return _interval(found), 1 - len(found) / MODEL_RESAMPLES


def _by_item(
    study: Study, values: Floats, kept: Mapping[str, Sequence[int]], task: Task
) -> tuple[float, float] | None:
    """Interval over Bayesian bootstraps of the items (Rubin 1981), the same for all settings."""
    rng = np.random.default_rng(_SEED)
    fallen = []
    for model, used in kept.items():
        any_falls = np.zeros((ITEM_RESAMPLES, len(used)), np.bool_)
        for name, changes in study.scores[model].changes.items():
            if task in (None, name):
                weights = rng.standard_exponential((ITEM_RESAMPLES, len(changes)))
                falls = weights @ changes[:, list(used)].astype(float)
                any_falls |= falls / weights.sum(axis=1, keepdims=True) > FALL + ROUNDING
        fallen.append(any_falls)
    rows = np.concatenate(fallen, axis=1)
    return _interval([one for row in rows if (one := auc(values, row)) is not None])
