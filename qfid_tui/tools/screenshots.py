"""Screenshots of the app with a real model: ``python -m qfid_tui.screenshots MODEL``.

Presses keys in an app without a terminal and scores a cached model. The run is saved in a temporary
folder. ``--grid-model`` names the model in full precision whose weights the grid shows.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorer.common.errors import QfidError
from scorer.common.folders import temporary_folder

if TYPE_CHECKING:
    from textual.pilot import Pilot

    from qfid_tui.app.app import QfidApp
    from qfid_tui.state.choices import Choices

LARGE, SMALL = (140, 45), (80, 24)
_TIMEOUT_SECONDS = 1800.0
_MEMORY = "300MB"
_GRID_CHUNKS = 4
_SECOND_TEXT, _LENGTHS = "code", (128, 512)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the screenshots; return the exit code."""
    args = _parser().parse_args(arguments)
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(
            prefix="qfid-screenshots-", dir=temporary_folder()
        ) as folder:
            os.environ["QFID_DATA_DIR"] = folder
            # A picture has every colour, whatever the terminal is that the command runs in.
            os.environ |= {"COLORTERM": "truecolor", "TERM": "xterm-256color"}
            os.environ.pop("NO_COLOR", None)
            asyncio.run(_take_all(args))
    except (QfidError, OSError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m qfid_tui.screenshots", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("model", metavar="MODEL", help="repo id in the local cache, or demo")
    parser.add_argument(
        "--out", type=Path, default=Path("screenshots"), help="folder for the SVG files"
    )
    parser.add_argument(
        "--grid-model",
        metavar="MODEL",
        help="of which weights are made for the grid (default: MODEL)",
    )
    parser.add_argument("--max-chunks", type=int, default=8, metavar="N", help="chunks to score")
    return parser


def _choices(model: str, chunks: int) -> Choices:
    from qfid_tui.state.choices import Choices
    from scorer.models.resolve import resolve_model

    resolve_model(model)
    return Choices(model=model, max_chunks=chunks, added=("k8v4",), ticked_added=("k8v4",))


async def _take_all(args: argparse.Namespace) -> None:
    grid_model = args.grid_model or args.model
    grid_chunks = min(args.max_chunks, _GRID_CHUNKS)
    await _shoot_with(_choices(args.model, args.max_chunks), args.out, _shoot_one_model)
    await _shoot_with(_choices(grid_model, grid_chunks), args.out, _shoot_grid)


async def _shoot_with(
    choices: Choices, folder: Path, shoot: Callable[[_Camera], Awaitable[None]]
) -> None:
    from qfid_tui.app.app import QfidApp

    app = QfidApp(choices, keep=False)
    async with app.run_test(size=LARGE) as pilot:
        camera = _Camera(app, pilot, folder)
        try:
            await _open_workbench(camera)
            await shoot(camera)
        finally:
            app.kill_children()


async def _shoot_one_model(camera: _Camera) -> None:
    await camera.shoot("workbench")
    await _shoot_run(camera)
    await _shoot_screens(camera)
    await _shoot_joined(camera)


async def _open_workbench(camera: _Camera) -> None:
    workbench = camera.app.workbench
    await camera.until(lambda: workbench.is_filled, "the panels")
    await camera.until(lambda: workbench.state.device is not None, "the device")
    await camera.until(lambda: not workbench.state.reading, "the models")
    await camera.until(
        lambda: workbench.state.shown_model in workbench.state.sizes, "whether the run fits"
    )


async def _end_of_run(camera: _Camera) -> None:
    await camera.until(lambda: not camera.app.comparison.is_active, "the run's end")
    comparison = camera.app.comparison
    if comparison.phase != "finished":
        raise QfidError(f"the run {comparison.phase}: {comparison.failure}")


async def _shoot_run(camera: _Camera) -> None:
    app = camera.app
    chunks = app.workbench.state.choices.max_chunks or 0
    await camera.press("r")
    await camera.until(
        lambda: app.comparison.complete >= chunks / 2 or not app.comparison.is_active, "half a run"
    )
    await camera.shoot("live-run")
    await camera.pilot.resize_terminal(*SMALL)
    await camera.shoot("live-run-80x24")
    await camera.pilot.resize_terminal(*LARGE)
    await _end_of_run(camera)


async def _shoot_screens(camera: _Camera) -> None:
    app = camera.app
    # The setting three rows below the widest has the largest drift to show.
    await camera.shoot("comparison")
    await camera.press("down", "down", "down", "d")
    await camera.read()
    await camera.shoot("detail")
    await camera.press("escape", "i")
    await camera.read()
    await camera.press("m")
    await camera.shoot("inspector")
    await camera.press("escape", "home")
    app.theme = "textual-light"
    await camera.shoot("comparison-light")
    app.theme = "textual-dark"
    await camera.pilot.resize_terminal(*SMALL)
    await camera.shoot("comparison-80x24")
    await camera.press("down", "down", "down", "i")
    await camera.read()
    await camera.press("m")
    await camera.shoot("inspector-80x24")


async def _shoot_joined(camera: _Camera) -> None:
    """Two texts at two lengths side by side."""
    from qfid_tui.app.screens.joined_runs import JoinedRunsScreen
    from qfid_tui.state.text_turns import open_turns

    app = camera.app
    await camera.press("escape")
    await camera.pilot.resize_terminal(*LARGE)
    state = app.workbench.state
    texts = (state.choices.text, _SECOND_TEXT)
    choices = dataclasses.replace(state.choices, texts=texts, lengths=_LENGTHS)
    app.workbench.update(state.changed(choices=choices))
    await camera.press("r")
    await camera.until(lambda: not open_turns(app.workbench.state), "every text and length")
    await _end_of_run(camera)
    await camera.press("J")
    joined = app.screen
    assert isinstance(joined, JoinedRunsScreen)
    await camera.until(lambda: joined.is_read, "the runs side by side")
    await camera.shoot("texts")


async def _shoot_grid(camera: _Camera) -> None:
    """Weights made at 8, 6, 4 and 3 bits, each with every KV setting that is ticked."""
    from qfid_tui.app.screens.grid import GridScreen

    app = camera.app
    await camera.until(lambda: app.workbench.state.offer is not None, "weights to compare")
    state = app.workbench.state
    choices = dataclasses.replace(state.choices, ticked_weights=("w8", "w6", "w4", "w3"))
    app.workbench.update(state.changed(choices=choices))
    await camera.press("r")
    await camera.until(lambda: app.comparison.is_active, "the run with weights")
    await _end_of_run(camera)
    await camera.press("number_sign", "m", *_MEMORY, "enter")
    grid = app.screen
    assert isinstance(grid, GridScreen)
    await camera.until(lambda: grid.is_complete, "the choice by context")
    await camera.press("home", "down", *("left",) * 5, "right")
    await camera.shoot("grid")
    await camera.pilot.resize_terminal(*SMALL)
    await camera.shoot("grid-80x24")


class _Camera:
    """An app without a terminal, its keys, and the folder for the screenshots."""

    def __init__(self, app: QfidApp, pilot: Pilot[Any], folder: Path) -> None:
        self.app, self.pilot, self._folder = app, pilot, folder

    async def press(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + _TIMEOUT_SECONDS
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError(f"waited too long for {what}")
            await self.pilot.pause(0.05)

    async def read(self) -> None:
        """Wait until the screen has read its data."""
        done = [worker.wait() for worker in self.app.workers]
        await asyncio.wait_for(asyncio.gather(*done), _TIMEOUT_SECONDS)

    async def shoot(self, name: str) -> None:
        from qfid_tui.app.screen_svg import self_contained

        # Wait for the timer that paints.
        await self.pilot.pause(0.3)
        path = self._folder / f"{name}.svg"
        path.write_text(self_contained(self.app.export_screenshot()), encoding="utf-8")
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")
