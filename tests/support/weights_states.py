"""States of the workbench that compare weights: ticked with the built-in model, and finished."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

from cli_saved_runs import chunk_scored
from weights_reports import GRID, weights_report

from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.model_reading import read_weights
from qfid_tui.state.workbench import WorkbenchState
from scorer.models.resolve import resolve_model
from scorer.spec.deployment import DeploymentSpec

MODEL = "local-test/SmolLM2"


def ticked(**changes: Any) -> WorkbenchState:
    """The built-in model with 8 and 4 bits of the cache and w8 and w4 ticked."""
    model = resolve_model("demo")
    values: dict[str, Any] = {"ticked": (8, 4), "ticked_weights": ("w8", "w4"), "context": 2048}
    choices = Choices(model="demo", **{**values, **changes})
    return WorkbenchState(
        choices, found={"demo": model}, weights={model.path: read_weights(model)}, reading=False
    )


_report = functools.cache(weights_report)


def finished(settings: str = GRID, **options: Any) -> Comparison:
    """A finished comparison of weights, whose model is not in the cache."""
    report = weights_report(settings, **options) if options else _report(settings)
    comparison = Comparison(report.run.job)
    comparison.open("20261128-120000-SmolLM2-1a2b", range(12))
    for row in report.settings:
        if row.numbers is not None:
            mean, flips = row.numbers.kl.mean, round(60 * row.numbers.flip_rate)
            for i in range(12):
                event = chunk_scored(row.setting, i, mean * (0.8 + (7 * i % 5) / 10), 60)
                comparison.add_chunks(dataclasses.replace(event, flips=flips))
    comparison.take_report(report)
    comparison.phase = "finished"
    return comparison


def finished_state(
    settings: str = GRID, *, memory: int | None = None, context: int = 8192, **options: Any
) -> WorkbenchState:
    """The workbench with that comparison."""
    comparison = finished(settings, **options)
    assert comparison.job is not None
    choices = Choices().of_job(comparison.job).deployed(DeploymentSpec(memory, context))
    return WorkbenchState(choices, comparison, comparison.version, reading=False)
