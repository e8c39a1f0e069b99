"""The report of the study: Markdown, JSON, and all cells as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import asdict
from statistics import median
from typing import Any

from scorer.bench.verdicts.auc import AUC, Task, label, measured_auc, settled
from scorer.bench.verdicts.bounds import MISSED, Proposal, Split, proposal, split
from scorer.bench.verdicts.cells import FALL, KINDS, LEARNED, Cell, Study
from scorer.bench.verdicts.items import TASKS
from scorer.stats.verdict import tier_rank

PREDICTORS: dict[str, Callable[[Cell], float]] = {
    "verdict": lambda cell: float(-tier_rank(cell.verdict)),
    "KL mean": lambda cell: cell.kl_mean,
    "KL p99": lambda cell: cell.kl_p99,
    "flips": lambda cell: cell.flip_rate,
    "largest ÷ bound": lambda cell: cell.excess,
}
"""What a fall is predicted by."""
ASKED: tuple[Task, ...] = (None, *TASKS)
"""What falls: any task, and each."""
TIERS = ("good", "marginal", "bad")
# An AUC below which a verdict is said to predict badly, and what it may miss.
_GOOD_AUC = 0.8
_FEW_MISSED = 0.05


def to_json(study: Study) -> dict[str, Any]:
    """Everything that the report says, as JSON values."""
    return {
        "fall": FALL,
        "learned": LEARNED,
        "models": {
            model: {
                "training": {k: v for k, v in study.training[model].items() if k != "losses"},
                "accuracy": {
                    task: {"share": share, "items": items}
                    for task, (share, items) in study.accuracy[model].items()
                },
            }
            for model in study.cells
        },
        "auc": {
            _name(task): {
                name: asdict(measured_auc(study, value, task))
                for name, value in PREDICTORS.items()
            }
            for task in ASKED
        },
        "auc_settled": {
            _name(task): asdict(_settled_auc(study, task)) for task in ASKED
        },
        "auc_by_kind": {
            kind: {
                name: asdict(_auc_of_kind(study, name, kind)) for name in PREDICTORS
            }
            for kind in KINDS
        },
        "auc_by_model": {
            model: asdict(_auc_of_model(study, "verdict", model)) for model in study.cells
        },
        "bounds": {
            tier: {_name(task): _split_json(_tier_split(study.all, tier, task)) for task in ASKED}
            for tier in TIERS[:2]
        },
        "proposals": {
            name: {
                _name(task): _proposal_json(proposal(study, value, task)) for task in ASKED
            }
            for name, value in PREDICTORS.items()
            if name != "verdict"
        },
        "cells": [asdict(cell) for cell in study.all],
    }  # fmt: skip


def _name(task: Task) -> str:
    return "any" if task is None else task


def _auc_of_kind(study: Study, name: str, kind: str) -> AUC:
    return measured_auc(study, PREDICTORS[name], None, lambda cell: cell.kind == kind)


def _auc_of_model(study: Study, name: str, model: str) -> AUC:
    return measured_auc(study, PREDICTORS[name], None, lambda cell: cell.model == model)


def _settled_auc(study: Study, task: Task) -> AUC:
    return measured_auc(study, PREDICTORS["verdict"], task, lambda cell: settled(cell, task))


def _tier_split(cells: list[Cell], tier: str, task: Task) -> Split:
    reached = TIERS[: TIERS.index(tier) + 1]
    return split(cells, lambda cell: cell.verdict in reached, task)


def _split_json(found: Split) -> dict[str, Any]:
    return {
        **asdict(found),
        "sensitivity": found.sensitivity,
        "specificity": found.specificity,
        "falling_within": found.falling_within,
    }


def _proposal_json(found: Proposal | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "bound": found.bound,
        "lowest": found.lowest,
        "highest": found.highest,
        "all": _split_json(found.split),
        "left_out": _split_json(found.left_out),
    }


def cells_csv(study: Study) -> str:
    """One row for each cell."""
    out = io.StringIO()
    write = csv.writer(out, lineterminator="\n").writerow
    head = ["model", "setting", "kind", "verdict", "verdict_shown", "kl_mean", "kl_p99", "flips"]
    each = ["reference", "share", "fall", "low", "high", "flips"]
    write([*head, "any_falls", *(f"{task}_{name}" for task in TASKS for name in each)])
    for cell in study.all:
        row: list[Any] = [
            *(cell.model, cell.setting, cell.kind, cell.verdict, cell.verdict_shown),
            *(cell.kl_mean, cell.kl_p99, cell.flip_rate, label(cell, None)),
        ]
        for task in TASKS:
            found = cell.tasks.get(task)
            row += [""] * len(each) if found is None else [getattr(found, name) for name in each]
        write(row)
    return out.getvalue()


def to_markdown(study: Study) -> Iterator[str]:
    """Yield the lines of the report."""
    cells = study.all
    yield "# Does the verdict say whether tasks fall?"
    yield ""
    open_ones = sum("?" in cell.verdict_shown for cell in cells)
    yield (
        f"{len(cells)} cells: {len(study.cells)} small models trained on four made-up tasks, each "
        f"under every setting. A task falls where the share of right answers drops by more than "
        f"{100 * FALL:.0f} points. A task of which a model answers less than "
        f"{100 * LEARNED:.0f} % rightly at full precision does not count. KV settings are judged "
        f"by the bounds of the KV cache, all others by those of weights; {open_ones} verdicts are "
        f"open."
    )
    yield ""
    yield from conclusion(study)
    yield ""
    yield "## Models"
    yield ""
    columns = " | ".join(f"{task}, %" for task in TASKS)
    yield f"| model | parameters | steps | {columns} | sink | loud keys |"
    yield "|---|---|---|" + "---|" * (len(TASKS) + 2)
    for model in study.cells:
        told = study.training[model]
        shares = " | ".join(f"{100 * study.accuracy[model][task][0]:.1f}" for task in TASKS)
        yield (
            f"| {model} | {told['parameters'] / 1e6:.1f} M | {told['steps']} | {shares} | "
            f"{100 * told['sink_of_layer']:.0f} % | {told['loud_keys']:.1f} |"
        )
    yield ""
    if study.accuracy:
        items = next(iter(study.accuracy.values()))
        counts = ", ".join(f"{task} {items[task][1]}" for task in TASKS)
        yield (
            f"Right answers at full precision, of held-out items ({counts}). Sink: attention on "
            f"the first token, of the layer with most. Loud keys: the largest mean magnitude of a "
            f"key channel ÷ the median channel's."
        )
        yield ""
    yield from _auc_tables(study)
    yield from _bound_tables(study)
    yield from _falls_table(study)


def conclusion(study: Study) -> Iterator[str]:
    """Say in a few sentences whether the verdict predicts falls."""
    found = measured_auc(study, PREDICTORS["verdict"], None)
    good = _tier_split(study.all, "good", None)
    if found.value is None:
        yield f"{found.falling} of {found.cells} cells fall: nothing can be said of the verdict."
        return
    well = found.value >= _GOOD_AUC
    yield (
        f"The verdict predicts {'well' if well else 'badly'} whether any task falls: AUC "
        f"{_auc_text(found)} over models. Of {good.within} cells that are good, "
        f"{good.within_falling} fall; of {found.falling} that fall, {good.within_falling} are "
        f"good."
    )
    sensitivity = good.sensitivity
    misses = sensitivity is not None and 1 - sensitivity > _FEW_MISSED
    if misses or not well:
        best = proposal(study, PREDICTORS["KL mean"], None)
        if best is not None:
            yield (
                f"“Good” misses more falls than it should. A bound on the KL mean of "
                f"{best.bound:.2g} nats would miss at most {100 * MISSED:.0f} % of the falls here; "
                f"with one model left out it lies between {best.lowest:.2g} and "
                f"{best.highest:.2g}. It is proposed, not changed."
            )
    specificity = good.specificity
    if specificity is not None:
        yield (
            f"Of the cells in which no task falls, {100 * specificity:.0f} % are good: the others "
            f"are called worse than their tasks show."
        )


def _auc_text(found: AUC) -> str:
    if found.value is None:
        return "–"
    between = "" if found.models is None else f" ({found.models[0]:.2f} to {found.models[1]:.2f})"
    return f"{found.value:.2f}{between}"


def _items_text(found: AUC) -> str:
    return "–" if found.items is None else f"{found.items[0]:.2f} to {found.items[1]:.2f}"


def _auc_tables(study: Study) -> Iterator[str]:
    yield "## AUC"
    yield ""
    yield (
        "The chance that a cell that falls has a worse value than one that does not; in "
        "parentheses the 95 % interval by resampling models."
    )
    yield ""
    names = " | ".join(PREDICTORS)
    yield (
        f"| what falls | cells that fall | {names} | verdict, items resampled | verdict, settled |"
    )
    yield "|---|---|" + "---|" * (len(PREDICTORS) + 2)
    for task in ASKED:
        found = {name: measured_auc(study, value, task) for name, value in PREDICTORS.items()}
        verdict, sure = found["verdict"], _settled_auc(study, task)
        values = " | ".join(_auc_text(one) for one in found.values())
        yield (
            f"| {_name(task)} | {verdict.falling} of {verdict.cells} | {values} | "
            f"{_items_text(verdict)} | {_auc_text(sure)}, {sure.cells} cells |"
        )
    yield ""
    yield (
        f"Settled: only cells whose fall is told apart from {100 * FALL:.0f} points. Largest ÷ "
        "bound: the largest of KL mean, p99 and flips, each ÷ its bound of good."
    )
    yield ""
    yield "| any task falls, by kind | cells that fall | " + names + " |"
    yield "|---|---|" + "---|" * len(PREDICTORS)
    for kind in KINDS:
        row = [_auc_of_kind(study, name, kind) for name in PREDICTORS]
        values = " | ".join(map(_auc_text, row))
        yield f"| {kind} | {row[0].falling} of {row[0].cells} | {values} |"
    yield ""
    yield "| any task falls, by model | cells that fall | verdict | KL mean | flips |"
    yield "|---|---|---|---|---|"
    for model in study.cells:
        row = [_auc_of_model(study, name, model) for name in ("verdict", "KL mean", "flips")]
        values = " | ".join(map(_auc_text, row))
        yield f"| {model} | {row[0].falling} of {row[0].cells} | {values} |"
    yield ""


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _bound_tables(study: Study) -> Iterator[str]:
    yield "## Bounds"
    yield ""
    yield (
        "| what falls | bound | within it | of these fall | falls beyond it (sensitivity) | "
        "calm within it (specificity) |"
    )
    yield "|---|---|---|---|---|---|"
    for task in ASKED:
        for tier in TIERS[:2]:
            found = _tier_split(study.all, tier, task)
            yield (
                f"| {_name(task)} | {tier} | {found.within} | {_percent(found.falling_within)} | "
                f"{_percent(found.sensitivity)} | {_percent(found.specificity)} |"
            )
    yield ""
    yield (
        f"Bounds that miss at most {100 * MISSED:.0f} % of the falls of any task, as a proposal; "
        "of each model by the bound of the others:"
    )
    yield ""
    yield "| bound on | value | with one model left out | falls beyond it | calm within it |"
    yield "|---|---|---|---|---|"
    for name, value in PREDICTORS.items():
        best = None if name == "verdict" else proposal(study, value, None)
        if best is not None:
            yield (
                f"| {name} | {best.bound:.3g} | {best.lowest:.3g} to {best.highest:.3g} | "
                f"{_percent(best.left_out.sensitivity)} | {_percent(best.left_out.specificity)} |"
            )
    yield ""


def _falls_table(study: Study) -> Iterator[str]:
    yield "## Falls by verdict"
    yield ""
    yield "Points; median, and the largest in parentheses."
    yield ""
    yield "| verdict | kind | cells | " + " | ".join(TASKS) + " |"
    yield "|---|---|---|" + "---|" * len(TASKS)
    for tier in TIERS:
        for kind in KINDS:
            cells = [c for c in study.all if c.verdict == tier and c.kind == kind]
            if not cells:
                continue
            columns = []
            for task in TASKS:
                falls = [100 * c.tasks[task].fall for c in cells if task in c.tasks]
                columns.append(f"{median(falls):.1f} ({max(falls):.1f})" if falls else "–")
            yield f"| {tier} | {kind} | {len(cells)} | " + " | ".join(columns) + " |"
    yield ""
