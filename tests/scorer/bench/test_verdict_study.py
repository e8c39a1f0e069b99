"""The figures of the study of the verdict: AUC, bounds and the report, on made-up cells."""

from __future__ import annotations

import csv
import io
import itertools
import json
import random
from pathlib import Path

import numpy as np
import pytest

from scorer.bench.verdicts.auc import auc, label, measured_auc, settled
from scorer.bench.verdicts.bounds import Split, proposal, split
from scorer.bench.verdicts.cells import Cell, Scores, Study, kind_of, read_study, task_fall
from scorer.bench.verdicts.figures import PREDICTORS, figures_of
from scorer.bench.verdicts.items import TASKS
from scorer.bench.verdicts.report import cells_csv, conclusion, to_json, to_markdown
from scorer.bench.verdicts.scoring import REFERENCE
from scorer.common.errors import InputError
from scorer.spec.thresholds import KV, WEIGHTS
from scorer.stats.verdict import verdict_of

ITEMS = 400


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scorer.bench.verdicts.auc.MODEL_RESAMPLES", 60)
    monkeypatch.setattr("scorer.bench.verdicts.auc.ITEM_RESAMPLES", 20)


def auc_by_pairs(values: list[float], falls: list[bool]) -> float | None:
    """AUC by its definition: all pairs of a cell that falls and one that does not."""
    pairs = [
        (a > b) + (a == b) / 2
        for (a, up), (b, down) in itertools.product(zip(values, falls, strict=True), repeat=2)
        if up and not down
    ]
    return sum(pairs) / len(pairs) if pairs else None


def test_auc_is_the_share_of_pairs_in_order() -> None:
    rng = random.Random(1)
    for _ in range(200):
        count = rng.randint(1, 12)
        values = [rng.choice([0.0, 1.0, 2.5, float("inf")]) for _ in range(count)]
        falls = [rng.random() < 0.5 for _ in range(count)]
        found, expected = auc(np.array(values), np.array(falls)), auc_by_pairs(values, falls)
        assert (found is None) == (expected is None)
        assert expected is None or found == pytest.approx(expected, abs=1e-12)


def test_a_fall_of_exactly_two_points_is_none() -> None:
    reference = np.zeros(100, bool)
    reference[:60] = True
    lost = reference.copy()
    lost[:2] = False
    assert not task_fall(reference, lost).falls
    lost[2] = False
    found = task_fall(reference, lost)
    assert found.falls and found.fall == pytest.approx(0.03) and found.flips == 0.03
    assert found.low < 0.02 < found.high and not found.settled


def made_cell(
    model: str, setting: str, kl: float, changes: dict[str, np.ndarray], kept: float
) -> Cell:
    kind = kind_of(setting)
    values = kl, 10 * kl, kl
    verdict = verdict_of(*values, KV if kind == "KV" else WEIGHTS)
    tasks = {}
    for task, change in changes.items():
        reference = np.arange(ITEMS) < kept * ITEMS
        tasks[task] = task_fall(reference, reference & (change != 1))
    return Cell(model, setting, kind, *values, verdict, verdict, tasks)


def made_study(slope: float) -> Study:
    """Three models whose tasks fall by ``slope`` · KL; one of them has not learned arithmetic."""
    cells, scores, accuracy = {}, {}, {}
    for number, model in enumerate(("a", "b", "c")):
        learned = TASKS if number < 2 else [task for task in TASKS if task != "arithmetic"]
        rows, columns = [], {task: [] for task in learned}
        for place, setting in enumerate(("8", "4", "2", "w8", "w4", "w2", "w4+4", "w2+2")):
            kl = 0.002 * 2.5 ** (place % 4) * (1 + number / 3)
            changes = {}
            for task in learned:
                change = np.zeros(ITEMS, np.int8)
                change[: round(slope * kl * ITEMS)] = 1
                changes[task] = change
                columns[task].append(change)
            rows.append(made_cell(model, setting, kl, changes, 0.9))
        cells[model] = rows
        scores[model] = Scores({task: np.stack(each, 1) for task, each in columns.items()})
        accuracy[model] = {task: (0.9 if task in learned else 0.1, ITEMS) for task in TASKS}
    told = {"parameters": 5_000_000, "steps": 10, "sink_of_layer": 0.4, "loud_keys": 3.0}
    return Study(cells, scores, {model: dict(told) for model in cells}, accuracy)


def test_what_falls_with_the_number_is_predicted_by_it() -> None:
    study = made_study(slope=2.0)
    found = measured_auc(study, PREDICTORS["KL mean"], None, items=True)
    assert found.value == 1.0 and found.models == (1.0, 1.0) and found.cells == 24
    assert 0 < found.falling < 24 and found.lost == 0.0
    assert found.items is not None and found.items[0] > 0.9
    backwards = measured_auc(study, lambda cell: -cell.kl_mean, None)
    assert backwards.value == 0.0


def test_a_task_that_a_model_has_not_learned_does_not_count() -> None:
    study = made_study(slope=2.0)
    assert measured_auc(study, PREDICTORS["verdict"], "arithmetic").cells == 16
    last = study.cells["c"][-1]
    assert label(last, "arithmetic") is None and label(last, None) is not None
    assert not settled(last, "arithmetic")


def test_without_falls_there_is_no_auc_and_no_proposal() -> None:
    study = made_study(slope=0.0)
    found = measured_auc(study, PREDICTORS["verdict"], None)
    assert (found.value, found.falling, found.models) == (None, 0, None)
    assert proposal(study, PREDICTORS["KL mean"], None) is None
    assert "nothing can be said" in "\n".join(conclusion(figures_of(study)))


def test_a_split_counts_both_sides() -> None:
    study = made_study(slope=2.0)
    found = split(study.all, lambda cell: cell.verdict == "good", None)
    good = [cell for cell in study.all if cell.verdict == "good"]
    assert found.within == len(good) and found.within + found.beyond == 24
    assert found.within_falling == sum(bool(label(cell, None)) for cell in good)
    shares = Split(within=10, within_falling=1, beyond=6, beyond_falling=4)
    assert (shares.sensitivity, shares.specificity) == (0.8, 9 / 11)
    assert shares.falling_within == 0.1


def test_a_proposed_bound_lies_between_calm_cells_and_falls() -> None:
    study = made_study(slope=2.0)
    found = proposal(study, PREDICTORS["KL mean"], None)
    assert found is not None
    assert 0.005 < found.bound < 0.015  # 2 points of falls at slope 2 are a KL of 0.01
    assert found.split.sensitivity == 1.0 and found.split.specificity == 1.0
    assert found.lowest <= found.bound <= found.highest


def test_the_report_says_everything_in_every_form() -> None:
    study = made_study(slope=2.0)
    figures = figures_of(study)
    text = "\n".join(to_markdown(study, figures))
    assert "24 cells: 3 small models" in text and "predicts well" in text
    values = json.loads(json.dumps(to_json(study, figures)))
    assert values["auc"]["any"]["KL mean"]["value"] == 1.0
    assert set(values["auc"]) == {"any", *TASKS}
    rows = list(csv.DictReader(io.StringIO(cells_csv(study))))
    assert len(rows) == 24 and float(rows[0]["arithmetic_fall"]) == pytest.approx(0.005)
    assert rows[-1]["arithmetic_fall"] == ""


def test_a_verdict_that_misses_falls_is_said_to() -> None:
    found = list(conclusion(figures_of(made_study(slope=6.0))))
    assert any("misses more than 5 % of the falls" in each for each in found)
    assert "proposed, not changed" in found[-1]


def test_answers_to_other_items_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "scores" / "tiny"
    folder.mkdir(parents=True)
    (folder / "asked.json").write_text("{}")
    (folder / "report.json").write_text('{"report": {"settings": []}}')
    np.savez(folder / "answers.npz", **{REFERENCE: np.ones(3, bool)})
    with pytest.raises(InputError, match="holds answers to 3 items, not to these 0"):
        read_study(tmp_path, [])
