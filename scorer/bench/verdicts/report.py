"""The report of the study: Markdown, JSON, and all cells as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from statistics import median
from typing import Any

from scorer.bench.verdicts.auc import AUC, label
from scorer.bench.verdicts.bounds import MISSED, Proposal, Split
from scorer.bench.verdicts.cells import FALL, KINDS, LEARNED, Study
from scorer.bench.verdicts.figures import ANY, ASKED, BOUNDS, KL_MEAN, PREDICTORS, VERDICT, Figures
from scorer.bench.verdicts.items import TASKS

# An AUC from which a verdict is said to predict well.
_GOOD_AUC = 0.8
_POINTS = f"{100 * FALL:.0f} points"


def to_json(study: Study, figures: Figures) -> dict[str, Any]:
    """Everything that the report says, as JSON values."""

    def described(value: Any) -> Any:
        if isinstance(value, Split):
            return {
                **asdict(value),
                "sensitivity": value.sensitivity,
                "specificity": value.specificity,
                "falling_within": value.falling_within,
            }
        if isinstance(value, Proposal):
            return {
                "bound": value.bound,
                "lowest": value.lowest,
                "highest": value.highest,
                "split": described(value.split),
                "left_out": described(value.left_out),
            }
        if isinstance(value, AUC):
            return asdict(value)
        if isinstance(value, dict):
            return {key: described(each) for key, each in value.items()}
        return value

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
        **{name: described(getattr(figures, name)) for name in Figures.__slots__},
        "cells": [asdict(cell) for cell in study.all],
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


def to_markdown(study: Study, figures: Figures) -> Iterator[str]:
    """Yield the lines of the report."""
    cells = study.all
    yield "# Does the verdict say whether tasks fall?"
    yield ""
    open_ones = sum("?" in cell.verdict_shown for cell in cells)
    yield (
        f"{len(cells)} cells: {len(study.cells)} small models trained on four made-up tasks, each "
        f"under every setting. A task falls where the share of right answers drops by more than "
        f"{_POINTS}. A task of which a model answers less than {100 * LEARNED:.0f} % rightly at "
        f"full precision does not count. Settings of the KV cache alone are judged by its bounds, "
        f"all others by those of weights; {open_ones} verdicts are open."
    )
    yield ""
    for sentence in conclusion(figures):
        yield f"- {sentence}"
    yield ""
    yield from _models_table(study)
    yield from _auc_tables(study, figures)
    yield from _bound_tables(figures)
    yield from _falls_table(study)


def conclusion(figures: Figures) -> Iterator[str]:
    """Say in a few sentences whether the verdict predicts falls."""
    found, good = figures.auc[ANY][VERDICT], figures.splits["good"][ANY]
    if found.value is None:
        yield f"{found.falling} of {found.cells} cells fall: nothing can be said of the verdict."
        return
    yield (
        f"The verdict predicts {'well' if found.value >= _GOOD_AUC else 'badly'} whether any task "
        f"falls: AUC {_auc_text(found)}."
    )
    yield (
        f"Of {good.within} cells that are good, {good.within_falling} fall. Of {found.falling} "
        f"that fall, {good.beyond_falling} are not good; of {found.cells - found.falling} in which "
        f"no task falls, {good.within - good.within_falling} are good."
    )
    sensitivity = good.sensitivity
    if sensitivity is None or 1 - sensitivity <= MISSED:
        return
    yield f"“Good” misses more than {100 * MISSED:.0f} % of the falls."
    best = figures.proposals[KL_MEAN][ANY]
    if best is not None:
        yield (
            f"A bound of {best.bound:.2g} nats on the KL mean would miss no more of them; with one "
            f"model left out it lies between {best.lowest:.2g} and {best.highest:.2g}. It is "
            f"proposed, not changed."
        )


def _models_table(study: Study) -> Iterator[str]:
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
    items = next(iter(study.accuracy.values()), {})
    counts = ", ".join(f"{task} {count}" for task, (_, count) in items.items())
    yield (
        f"Right answers at full precision, of held-out items ({counts}). Sink: attention on the "
        f"first token, of the layer with most. Loud keys: the largest mean magnitude of a key "
        f"channel ÷ the median channel's."
    )
    yield ""


def _auc_text(found: AUC) -> str:
    if found.value is None:
        return "–"
    between = "" if found.models is None else f" ({found.models[0]:.2f} to {found.models[1]:.2f})"
    return f"{found.value:.2f}{between}"


def _items_text(found: AUC) -> str:
    return "–" if found.items is None else f"{found.items[0]:.2f} to {found.items[1]:.2f}"


def _auc_tables(study: Study, figures: Figures) -> Iterator[str]:
    yield "## AUC"
    yield ""
    yield (
        "The chance that a cell that falls has a worse value than one that does not; in "
        "parentheses the 95 % interval by resampling models."
    )
    yield ""
    names = " | ".join(PREDICTORS)
    rule = "---|" * len(PREDICTORS)
    yield f"| what falls | cells that fall | {names} | verdict: items resampled | and settled |"
    yield f"|---|---|{rule}---|---|"
    for name in ASKED:
        found, sure = figures.auc[name], figures.settled[name]
        values = " | ".join(map(_auc_text, found.values()))
        yield (
            f"| {name} | {found[VERDICT].falling} of {found[VERDICT].cells} | {values} | "
            f"{_items_text(found[VERDICT])} | {_auc_text(sure)}, {sure.cells} cells |"
        )
    yield ""
    yield (
        f"Settled: only cells whose fall is told apart from {_POINTS}. Largest ÷ bound: the "
        "largest of KL mean, p99 and flips, each ÷ its bound of good."
    )
    yield ""
    yield f"| any task falls | cells that fall | {names} |"
    yield f"|---|---|{rule}"
    rows = [(kind, figures.by_kind[kind]) for kind in KINDS]
    rows += [(model, figures.by_model[model]) for model in study.cells]  # type: ignore[misc]
    for part, found in rows:
        values = " | ".join(map(_auc_text, found.values()))
        yield f"| {part} | {found[VERDICT].falling} of {found[VERDICT].cells} | {values} |"
    yield ""


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{100 * share:.0f} %"


def _bound_tables(figures: Figures) -> Iterator[str]:
    yield "## Bounds"
    yield ""
    yield (
        "| what falls | bound | cells within it | of these fall | falls beyond it (sensitivity) | "
        "calm within it (specificity) |"
    )
    yield "|---|---|---|---|---|---|"
    rows = [(name, figures.splits, name) for name in ASKED]
    rows += [(f"any, {kind}", figures.splits_by_kind, kind) for kind in KINDS]  # type: ignore[misc]
    for words, splits, key in rows:
        for bound in BOUNDS:
            found = splits[bound][key]
            yield (
                f"| {words} | {bound} | {found.within} | {_percent(found.falling_within)} | "
                f"{_percent(found.sensitivity)} | {_percent(found.specificity)} |"
            )
    yield ""
    yield (
        f"Bounds that miss at most {100 * MISSED:.0f} % of the falls of any task, as a proposal. "
        "The last two columns judge each model by the bound of the others."
    )
    yield ""
    yield (
        "| bound on | settings | value | with one model left out | falls beyond it | "
        "calm within it |"
    )
    yield "|---|---|---|---|---|---|"
    for name, proposals in figures.proposals.items():
        by_kind = figures.proposals_by_kind[name]
        for words, best in [("all", proposals[ANY]), *by_kind.items()]:
            if best is not None:
                yield (
                    f"| {name} | {words} | {best.bound:.3g} | {best.lowest:.3g} to "
                    f"{best.highest:.3g} | {_percent(best.left_out.sensitivity)} | "
                    f"{_percent(best.left_out.specificity)} |"
                )
    yield ""


def _falls_table(study: Study) -> Iterator[str]:
    yield "## Falls by verdict"
    yield ""
    yield "Points; median, and the largest in parentheses."
    yield ""
    yield "| verdict | settings | cells | " + " | ".join(TASKS) + " |"
    yield "|---|---|---|" + "---|" * len(TASKS)
    for tier in (*BOUNDS, "bad"):
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
