"""What the grid looks like, and the workbench of a run that compares weights."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from app_pilot import SIZES, compare, demo_choices, is_ready, until
from cli_saved_runs import chunk_scored
from textual.pilot import Pilot
from weights_states import finished

from qfid_tui.app.app import QfidApp
from qfid_tui.app.screens.grid import GridScreen
from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from scorer.common.folders import runs_folder
from scorer.spec.deployment import DeploymentSpec
from scorer.spec.events import Loading, Planned, SettingDropped

WITH_WEIGHTS = demo_choices(ticked_weights=("w8", "w4"), context=2048)
RUN = "20261128-120000-demo-1a2b"
KL = {"8": 0.0004, "4": 0.12, "w8": 0.002, "w8+8": 0.0031, "w8+4": 0.13}
MEMORIES = {"finished": 10**9, "dimmed": 300 * 10**6, "workbench": None}
SMALL, LARGE = SIZES
SLOW = [("live", LARGE), ("finished", SMALL), ("finished", LARGE), ("workbench", SMALL)]
CASES = [
    *[("live", SMALL), ("dimmed", SMALL), ("dimmed", LARGE), ("workbench", LARGE)],
    *(pytest.param(name, size, marks=pytest.mark.slow) for name, size in SLOW),
]


def live() -> Comparison:
    """A run that has scored one of two sets of weights and loads the other."""
    comparison = Comparison(clock=lambda: 0.0)
    comparison.begin(WITH_WEIGHTS.job())
    names = [setting.key for setting in WITH_WEIGHTS.job().settings]
    comparison.add(
        Planned(
            run=RUN,
            run_path=f"/runs/{RUN}",
            model="demo",
            settings=names,
            chunks=list(range(12)),
            done={},
            positions_per_chunk=dict.fromkeys(names, 511),
            kv_bytes_per_token=dict.fromkeys(names, 100.0),
            kv_bytes_per_token_16bit=200.0,
            batch=1,
            arithmetic="cpu",
        )
    )
    for chunk in range(6):
        for name, kl in KL.items():
            event = chunk_scored(name, chunk, kl * (1 + (chunk * 7 % 5) / 10), 511)
            comparison.add(dataclasses.replace(event, flips=int(900 * kl)))
    comparison.add(SettingDropped("4", "beaten by `w8+8`"))
    comparison.add(Loading("model", "w4"))
    return comparison


@pytest.mark.parametrize(
    ("name", "size"),
    CASES,
    ids=lambda value: value if isinstance(value, str) else f"{value[0]}x{value[1]}",
)
def test_looks(name: str, size: tuple[int, int], snap_compare: Any) -> None:
    comparison = live() if name == "live" else finished()
    app = QfidApp(WITH_WEIGHTS, probe=False, keep=False)
    # The app looks every other second whether the run on the screen has been deleted.
    (runs_folder() / str(comparison.run)).mkdir(parents=True)

    async def before(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: is_ready(app))
        app.animation_level = "none"
        if name != "live":
            spec = DeploymentSpec(MEMORIES[name], 8192)
            choices = Choices().of_job(comparison.job).deployed(spec)
            app.workbench.update(app.workbench.state.changed(choices=choices))
        compare(app, comparison)
        if name != "workbench":
            await pilot.press("number_sign", "down", "right")
            await until(pilot, lambda: isinstance(app.screen, GridScreen))
        if name in ("finished", "dimmed"):
            grid = app.screen
            assert isinstance(grid, GridScreen)
            await until(pilot, lambda: grid.is_complete, "the choice by context")

    assert snap_compare(app, terminal_size=size, run_before=before)
