"""What the workbench looks like, from no model chosen to a finished comparison."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest
from app_pilot import (
    choose,
    compare,
    demo_choices,
    is_ready,
    piloted,
    running,
    show_news,
    until,
)
from cli_saved_runs import chunk_scored
from screen_at_rest import at_rest, in_time
from textual.pilot import Pilot

from qfid_tui.app.app import QfidApp
from qfid_tui.state.choices import Choices
from qfid_tui.state.comparison import Comparison
from scorer.common.folders import runs_folder
from scorer.models.info import ModelInfo
from scorer.spec.events import Hello, Planned, Progress, SettingFailedEvent

RUN = "20261101-120000-demo-1a2b"
# Nats; the third setting fails on the way.
KL = {"8": 0.0004, "4": 0.12, "k8v4": 0.008}
CHUNKS = 12


def begun(app: QfidApp) -> Any:
    """A run of three settings, planned; its clock counts three seconds a chunk."""
    choose(app, chunk_length=512, max_chunks=CHUNKS, added=("k8v4",), ticked_added=("k8v4",))
    comparison = Comparison(clock=lambda: 3.0 * len(comparison.settings["8"].chunks))
    compare(app, comparison)
    comparison.begin(app.choices.job())
    comparison.add(Hello("cpu", "a CPU", 16 << 30, 8 << 30, "MKL", {"qfid": "0"}))
    comparison.add(
        Planned(
            run=RUN,
            run_path=f"/runs/{RUN}",
            model="demo",
            settings=list(KL),
            chunks=list(range(0, 12 * CHUNKS, 12)),
            done={},
            positions_per_chunk=dict.fromkeys(KL, 511),
            kv_bytes_per_token={"8": 1360.0, "4": 720.0, "k8v4": 1040.0},
            kv_bytes_per_token_16bit=2560.0,
            batch=1,
            arithmetic="cpu, float32, BLAS: MKL",
        )
    )
    return comparison


def scored(app: QfidApp, chunks: int) -> Any:
    comparison = begun(app)
    for chunk in range(chunks):
        for number, (name, kl) in enumerate(KL.items()):
            comparison.add(Progress(12 * chunk, name, number + 2, 4, 1 << 30))
            event = chunk_scored(name, 12 * chunk, kl * (1 + (chunk * 7 % 5) / 10), 511)
            flips = {"8": 4, "4": 96, "k8v4": 20}[name] + chunk % 3
            comparison.add(dataclasses.replace(event, flips=flips))
    return comparison


def live(app: QfidApp) -> None:
    scored(app, 7)


def one_failed(app: QfidApp) -> None:
    scored(app, 3).add(SettingFailedEvent("k8v4", "SettingFailed", "drift is exactly zero", ""))


def stopped(app: QfidApp) -> None:
    comparison = scored(app, 7)
    comparison.stop()
    comparison.end(by_user=True)


def nothing(app: QfidApp) -> None:
    """What is there when the app opens."""


def dated(app: QfidApp) -> None:
    """The list of models, which shows when the files of the built-in one were last read."""
    model = app.workbench.state.found["demo"]
    assert isinstance(model, ModelInfo)
    noon = datetime(2026, 11, 28, 12).timestamp()
    app.workbench.reader.add_models([dataclasses.replace(model, last_used=noon)])


STATES: dict[str, tuple[Choices, Callable[[QfidApp], None]]] = {
    "no_model": (Choices(), dated),
    "ready": (demo_choices(), nothing),
    "live": (demo_choices(), live),
    "one_failed": (demo_choices(), one_failed),
    "stopped": (demo_choices(), stopped),
}


@pytest.mark.parametrize(
    "theme", ["textual-dark", pytest.param("textual-light", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("size", [(80, 24), (140, 45)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", STATES)
def test_looks(name: str, size: tuple[int, int], theme: str, snap_compare: Any) -> None:
    choices, bring = STATES[name]
    app = QfidApp(dataclasses.replace(choices, theme=theme), probe=False, keep=False)
    # The app looks every other second whether the run on the screen has been deleted.
    (runs_folder() / RUN).mkdir(parents=True)

    async def before(pilot: Pilot[Any]) -> None:
        await until(pilot, lambda: is_ready(app))
        app.animation_level = "none"
        bring(app)
        show_news(app)
        await pilot.pause()
        app.comparison.phase = "idle" if name in ("no_model", "ready") else app.comparison.phase

    assert snap_compare(app, terminal_size=size, run_before=before)


@piloted
async def test_a_picture_that_a_timer_changes_is_refused() -> None:
    """The run on the screen has no folder: the app finds out within two seconds."""
    async with running(demo_choices()) as (app, pilot):
        stopped(app)
        show_news(app)
        await at_rest(pilot)
        with pytest.raises(AssertionError, match="depends on the time"):
            await in_time(pilot)
