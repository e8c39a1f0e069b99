"""Every figure of the study, computed once for all forms of its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scorer.bench.verdicts.auc import AUC, Task, measured_auc, settled
from scorer.bench.verdicts.bounds import Proposal, Split, proposal, split
from scorer.bench.verdicts.cells import KINDS, Cell, Kind, Study
from scorer.bench.verdicts.items import TASKS
from scorer.stats.verdict import tier_rank

VERDICT = "verdict"
KL_MEAN = "KL mean"
PREDICTORS: dict[str, Callable[[Cell], float]] = {
    VERDICT: lambda cell: float(-tier_rank(cell.verdict)),
    KL_MEAN: lambda cell: cell.kl_mean,
    "KL p99": lambda cell: cell.kl_p99,
    "flips": lambda cell: cell.flip_rate,
    "largest ÷ bound": lambda cell: cell.excess,
}
"""What a fall is predicted by."""
ANY = "any"
ASKED: dict[str, Task] = {ANY: None, **{task: task for task in TASKS}}
"""What falls: any task, and each."""
BOUNDS = ("good", "marginal")
"""The bounds of a verdict."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What is computed of all cells.

    Attributes:
        auc: By what falls and predictor.
        settled: By what falls, of the verdict: only cells whose fall is told apart from the limit.
        by_kind: By kind of setting and predictor, for any task.
        by_model: By model and predictor, for any task.
        splits: By bound of the verdict and what falls.
        splits_by_kind: By bound of the verdict and kind of setting, for any task.
        proposals: By predictor but the verdict and what falls; None where too little falls.
        proposals_by_kind: Likewise by kind of setting, for any task.
    """

    auc: Mapping[str, Mapping[str, AUC]]
    settled: Mapping[str, AUC]
    by_kind: Mapping[Kind, Mapping[str, AUC]]
    by_model: Mapping[str, Mapping[str, AUC]]
    splits: Mapping[str, Mapping[str, Split]]
    splits_by_kind: Mapping[str, Mapping[Kind, Split]]
    proposals: Mapping[str, Mapping[str, Proposal | None]]
    proposals_by_kind: Mapping[str, Mapping[Kind, Proposal | None]]


def reaches(cell: Cell, bound: str) -> bool:
    """Whether the verdict of a cell is that of a bound or better."""
    return cell.verdict in BOUNDS[: BOUNDS.index(bound) + 1]


def figures_of(study: Study) -> Figures:
    """Compute everything."""

    def of(part: Study) -> dict[str, AUC]:
        return {name: measured_auc(part, value, None) for name, value in PREDICTORS.items()}

    def of_settled(task: Task) -> AUC:
        return measured_auc(study, PREDICTORS[VERDICT], task, lambda cell: settled(cell, task))

    def of_bound(bound: str, task: Task, kind: Kind | None = None) -> Split:
        cells = [cell for cell in study.all if kind in (None, cell.kind)]
        return split(cells, lambda cell: reaches(cell, bound), task)

    numbers = {name: value for name, value in PREDICTORS.items() if name != VERDICT}
    of_kind = {kind: study.of_kind(kind) for kind in KINDS}
    return Figures(
        auc={
            name: {
                each: measured_auc(study, value, task, items=each == VERDICT)
                for each, value in PREDICTORS.items()
            }
            for name, task in ASKED.items()
        },
        settled={name: of_settled(task) for name, task in ASKED.items()},
        by_kind={kind: of(part) for kind, part in of_kind.items()},
        by_model={model: of(study.of_model(model)) for model in study.cells},
        splits={
            bound: {name: of_bound(bound, task) for name, task in ASKED.items()}
            for bound in BOUNDS
        },
        splits_by_kind={
            bound: {kind: of_bound(bound, None, kind) for kind in KINDS} for bound in BOUNDS
        },
        proposals={
            each: {name: proposal(study, value, task) for name, task in ASKED.items()}
            for each, value in numbers.items()
        },
        proposals_by_kind={
            each: {kind: proposal(part, value, None) for kind, part in of_kind.items()}
            for each, value in numbers.items()
        },
    )  # fmt: skip
