"""States of the workbench with the built-in model, before a run and with chunks scored."""

from __future__ import annotations

from cli_saved_runs import chunk_scored, opening, save_run

from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.workbench import WorkbenchState
from scorer.models.resolve import resolve_model

DEMO = resolve_model("demo")


def workbench(**changes: object) -> WorkbenchState:
    """The built-in model chosen, 8 and 4 bits ticked."""
    choices = Choices(model="demo", ticked=(8, 4), chunk_length=16, corpus="wikitext2")
    return WorkbenchState(choices, found={"demo": DEMO}).changed(**changes)


def scored(chunks: int = 2) -> Comparison:
    comparison = Comparison()
    comparison.begin(workbench().choices.job())
    for event in opening(save_run("8,4", finished=False, chunks=0)):
        comparison.add(event)
    for chunk in range(chunks):
        comparison.add(chunk_scored("8", chunk, 0.001))
    return comparison
