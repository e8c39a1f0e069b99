"""Settings that a model cannot take are marked before anything runs."""

from __future__ import annotations

import dataclasses

import pytest
from app_pilot import piloted, running, screen_text

from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.next_run import next_run
from qfid_tui.state.table_rows import table_rows
from scorer.common.errors import InputError
from scorer.models.resolve import resolve_model
from scorer.spec.geometry import KVGeometry, KVLayer


def geometry(k_dim: int, v_dim: int, *, exact: bool = True) -> KVGeometry:
    return KVGeometry((KVLayer(2, k_dim, v_dim),) * 4, 4, exact)


def test_rows_say_why_and_have_no_cost() -> None:
    rows = table_rows(Choices(model="m"), Comparison(), geometry(80, 80))
    refused = {row.name: row for row in rows if row.name}
    assert all(row.cost is None for row in refused.values())
    assert refused["8"].refusal == "no group size divides the head dimension 80"
    assert rows[-1].cost is not None and rows[-1].refusal == ""
    guessed = table_rows(Choices(model="m"), Comparison(), geometry(80, 80, exact=False))
    assert all(row.refusal == "" for row in guessed)
    asked = table_rows(Choices(model="m", group_size=128), Comparison(), geometry(64, 64))
    assert asked[0].refusal == "group size 128 does not divide the head dimension 64"


def test_a_run_leaves_out_what_the_model_cannot_take() -> None:
    choices = Choices(model="m", ticked=(8,), added=("k4v16",), ticked_added=("k4v16",))
    planned = next_run(choices, Comparison(), geometry=geometry(64, 80))
    assert planned.missing == ("k4v16",)
    with pytest.raises(InputError, match="no group size divides"):
        next_run(choices, Comparison(), geometry=geometry(80, 80))


@piloted
async def test_a_head_dimension_of_80() -> None:
    async with running(Choices(model="demo"), size=(80, 24)) as (app, pilot):
        model = dataclasses.replace(resolve_model("demo"), geometry=geometry(80, 80))
        app.workbench.reader.add_models([model])
        await pilot.pause()
        shown = screen_text(app)
        assert "✗ no group size divides the head dimension 80" in shown
        assert "[x]" not in shown and "tries again" not in shown
        await pilot.press("s", "space", "r")
        await pilot.pause()
        assert not app.is_scoring
        assert "This model cannot take 8" in screen_text(app)
        assert "choose another model" in screen_text(app)
        await pilot.press("a", "4")
        await pilot.pause()
        assert "cannot be quantized" in app.screen.query_one("#meaning").render().plain  # type: ignore[union-attr]
