"""Costs of a model that was not measured yet carry a sign, until its line is there."""

from __future__ import annotations

from pathlib import Path

import pytest
from app_pilot import piloted, running, screen_text, until
from fake_hub_cache import model_files, write_repo
from tiny_configs import tiny_config

from qfid_tui.state.choices import Choices
from scorer.models import measuring
from scorer.models.hub_cache import hub_folder
from scorer.models.kept_geometry import folder_key, recall

REPO = "org/latent"
# Four layers of one latent head, 64 and 32 elements wide, at 8 bits in groups of 32.
EXACT = 4 * (64 + 32) * (1 + 4 / 32)


@pytest.fixture
def folder() -> Path:
    return write_repo(hub_folder(), REPO, model_files(tiny_config("deepseek_v3")))


@piloted
async def test_until_it_is_measured(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "COMMAND", ("/no/such/program",))
    async with running(Choices(model=REPO, ticked=(8,), group_size=32)) as (app, _):
        geometry, (row, *_) = app.workbench.state.geometry, app.workbench.state.rows
        assert geometry is not None and not geometry.exact and row.cost is not None
        assert "≈" in screen_text(app)
    assert recall(folder_key(folder)) is None


@piloted
async def test_once_it_is_measured(folder: Path) -> None:
    async with running(Choices(model=REPO, ticked=(8,), group_size=32)) as (app, pilot):

        def is_exact() -> bool:
            cost = app.workbench.state.rows[0].cost
            return cost is not None and cost.exact and cost.per_token == EXACT

        await until(pilot, is_exact, "the measured cost")
        assert "≈" not in screen_text(app)
    assert recall(folder_key(folder)) is not None


@piloted
async def test_one_that_turns_out_unscorable_says_so() -> None:
    write_repo(hub_folder(), "org/state-space", model_files(tiny_config("mamba")))
    async with running(size=(140, 45)) as (app, pilot):
        await until(pilot, lambda: "✗ architecture" in screen_text(app), "why it is refused")
