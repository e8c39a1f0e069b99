"""The cells of the study: how far each setting drifts on each model, and how far its tasks fall."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from scorer.bench.verdicts.items import TASKS
from scorer.bench.verdicts.scoring import REFERENCE
from scorer.bench.verdicts.windows import Asked
from scorer.common.errors import InputError
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import WeightsSetting
from scorer.spec.thresholds import KV, WEIGHTS, Thresholds, Verdict
from scorer.stats.paired_shares import PairedCounts
from scorer.stats.verdict import verdict_of

FALL = 0.02
"""A task falls where the share of right answers falls by more."""
ROUNDING = 1e-12
"""What rounding may do to a fall."""
LEARNED = 0.2
"""A task whose share of right answers is less at full precision is not learned, and left out."""

Kind = Literal["KV", "weights", "both"]
KINDS: tuple[Kind, ...] = ("KV", "weights", "both")


@dataclass(frozen=True, slots=True)
class TaskFall:
    """What a setting does to the answers of a task.

    Attributes:
        reference: Share of right answers at full precision.
        share: Share of right answers under the setting.
        low: Lower end of the 95 % interval of the fall, which is paired by item.
        high: Its upper end.
        flips: Share of items that are right under one of the two only.
    """

    reference: float
    share: float
    low: float
    high: float
    flips: float

    @property
    def fall(self) -> float:
        """By how much the share of right answers falls, −1 to 1."""
        return self.reference - self.share

    @property
    def falls(self) -> bool:
        """Whether it falls by more than :data:`FALL`."""
        # A fall of exactly two points is none, also where shares are rounded.
        return self.fall > FALL + ROUNDING

    @property
    def settled(self) -> bool:
        """Whether the interval says so too."""
        return self.low > FALL or self.high < FALL


@dataclass(frozen=True, slots=True)
class Cell:
    """A setting on a model.

    Attributes:
        model: Name of the model.
        setting: The setting in notation.
        kind: What it quantizes.
        kl_mean: Mean KL, nats.
        kl_p99: 99th percentile of KL, nats.
        flip_rate: Share of tokens whose likeliest one changed.
        verdict: By the bounds of the KV cache where only that is quantized, else of weights.
        verdict_shown: The same with ``?`` where the run of all settings leaves it open.
        tasks: What it does to each task that the model has learned.
    """

    model: str
    setting: str
    kind: Kind
    kl_mean: float
    kl_p99: float
    flip_rate: float
    verdict: Verdict
    verdict_shown: str
    tasks: Mapping[str, TaskFall]

    @property
    def excess(self) -> float:
        """The largest of the three values ÷ its bound of good; good up to 1."""
        good = thresholds_of(self.kind).good
        values = (
            self.kl_mean / good.kl_mean,
            self.kl_p99 / good.kl_p99,
            self.flip_rate / good.flip_rate,
        )
        return max(values)


@dataclass(frozen=True, slots=True)
class Scores:
    """The answers of a model.

    Attributes:
        changes: By task, (items, settings) int8: 1 where a setting loses a right answer, −1 where
            it gains one; settings in the order of the model's cells.
    """

    changes: Mapping[str, NDArray[np.int8]]


@dataclass(frozen=True, slots=True)
class Study:
    """All cells.

    Attributes:
        cells: By model, in the order of the settings.
        scores: By model.
        training: By model, what its `training.json` says.
        accuracy: By model and task, the share of right answers at full precision and the items.
    """

    cells: Mapping[str, Sequence[Cell]]
    scores: Mapping[str, Scores]
    training: Mapping[str, Mapping[str, Any]]
    accuracy: Mapping[str, Mapping[str, tuple[float, int]]]

    @property
    def all(self) -> list[Cell]:
        """The cells of all models."""
        return [cell for cells in self.cells.values() for cell in cells]

    def of_model(self, model: str) -> Study:
        """The study of one model only."""
        return replace(self, cells={model: self.cells[model]})

    def of_kind(self, kind: Kind) -> Study:
        """The study with the settings of one kind only."""
        cells, scores = {}, {}
        for model, row in self.cells.items():
            places = [place for place, cell in enumerate(row) if cell.kind == kind]
            cells[model] = [row[place] for place in places]
            changes = self.scores[model].changes
            scores[model] = Scores({task: each[:, places] for task, each in changes.items()})
        return replace(self, cells=cells, scores=scores)


def kind_of(setting: str) -> Kind:
    """What a setting quantizes."""
    parsed = parse_setting(setting)
    if not isinstance(parsed, WeightsSetting):
        return "KV"
    return "weights" if parsed.cache is None else "both"


def thresholds_of(kind: Kind) -> Thresholds:
    """The bounds that a setting of a kind is judged by where it is scored alone."""
    return KV if kind == "KV" else WEIGHTS


def read_study(folder: Path, items: Sequence[Asked]) -> Study:
    """Read every model that is scored.

    Args:
        folder: Holds ``models`` and ``scores``.
        items: The items, in the order of the answers.

    Raises:
        InputError: A model was asked other items.
    """
    tasks = np.array([item.task for item in items])
    cells: dict[str, list[Cell]] = {}
    scores: dict[str, Scores] = {}
    training: dict[str, Any] = {}
    accuracy: dict[str, dict[str, tuple[float, int]]] = {}
    for done in sorted((folder / "scores").glob("*/asked.json")):
        model = done.parent.name
        report = json.loads((done.parent / "report.json").read_text())["report"]
        with np.load(done.parent / "answers.npz") as stored:
            answers = {key: stored[key] for key in stored.files}
        reference = answers.pop(REFERENCE)
        if len(reference) != len(tasks):
            raise InputError(
                f"`{done.parent}` holds answers to {len(reference)} items, not to these "
                f"{len(tasks)}",
                "give --items and --chunks as they were",
            )
        of_task = {task: reference[tasks == task] for task in TASKS}
        accuracy[model] = {task: (float(r.mean()), len(r)) for task, r in of_task.items()}
        learned = [task for task in TASKS if accuracy[model][task][0] >= LEARNED]
        rows = [row for row in report["settings"] if row["setting"] in answers and "kl" in row]
        cells[model] = [
            _cell(
                model,
                row,
                {
                    task: task_fall(of_task[task], answers[row["setting"]][tasks == task])
                    for task in learned
                },
            )
            for row in rows
        ]
        columns = [answers[row["setting"]] for row in rows]
        changes = (reference[:, None].astype(np.int8) - np.stack(columns, 1)).astype(np.int8)
        scores[model] = Scores({task: changes[tasks == task] for task in learned})
        training[model] = json.loads((folder / "models" / model / "training.json").read_text())
    return Study(cells, scores, training, accuracy)


def task_fall(reference: NDArray[np.bool_], right: NDArray[np.bool_]) -> TaskFall:
    """Compare the answers to the items of a task, each (n,) bool: whether it is right."""
    counts = PairedCounts(
        both=int((reference & right).sum()),
        first=int((reference & ~right).sum()),
        second=int((~reference & right).sum()),
        neither=int((~reference & ~right).sum()),
    )
    interval = counts.interval()
    return TaskFall(
        reference=float(reference.mean()),
        share=float(right.mean()),
        low=-interval.high,
        high=-interval.low,
        flips=(counts.first + counts.second) / counts.n,
    )


def _cell(model: str, row: Mapping[str, Any], tasks: Mapping[str, TaskFall]) -> Cell:
    kind = kind_of(row["setting"])
    values = float(row["kl"]["mean"]), float(row["kl"]["p99"]), float(row["flip_rate"])
    shown = row.get("kv_verdict_shown") or row["verdict_shown"]
    verdict = verdict_of(*values, thresholds_of(kind))
    return Cell(model, row["setting"], kind, *values, verdict, str(shown), tasks)
