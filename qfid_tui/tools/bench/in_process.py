"""Measurements without a terminal: a replay at full speed, and the cursor of the inspector."""

from __future__ import annotations

import asyncio
import itertools
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from textual.app import App

from qfid_tui.app.garbage import spare_collections
from qfid_tui.tools.bench import made_up_run
from qfid_tui.tools.bench.measured_app import MeasuredApp

SIZE = (140, 45)
_KEY_EVERY = 0.02


@dataclass(frozen=True, slots=True)
class Replayed:
    """A replay at full speed while keys are pressed.

    Attributes:
        total: Seconds from the first event until the last one is painted, shortest round.
        cpu: CPU seconds of the app's process, round with the least.
        latency: 95th percentile of a key's latency over all rounds, seconds.
        keys: Number of keys.
    """

    total: float
    cpu: float
    latency: float
    keys: int


def replay(folder: Path, chunks: int, rounds: int) -> Replayed:
    """Replay a run at full speed, while keys are pressed."""
    recording = folder / "replay.jsonl"
    made_up_run.record(recording, chunks)
    totals, cpus, latencies = [], [], []
    for _ in range(rounds):
        app = MeasuredApp(recording, chunks, math.inf)
        asyncio.run(_replay(app))
        totals.append(app.last - app.first)
        cpus.append(app.cpu)
        latencies += app.latencies
    latencies.sort()
    p95 = latencies[math.ceil(0.95 * len(latencies)) - 1] if latencies else math.nan
    return Replayed(min(totals), min(cpus), p95, len(latencies))


async def _replay(app: MeasuredApp) -> None:
    async with app.run_test(size=SIZE):
        await app.wait_until(lambda: app.is_ready)
        # The app does this shortly after it is filled.
        spare_collections()
        app.workbench.action_run()
        await app.wait_until(lambda: app.first > 0)
        stop = threading.Event()
        keys = threading.Thread(target=app.type_keys, args=(_KEY_EVERY, stop), daemon=True)
        keys.start()
        await app.wait_until(lambda: app.last > 0)
        stop.set()
        keys.join()
        await app.wait_until(lambda: app.keys_pending == 0)


def inspector(rounds: int) -> dict[str, float]:
    """Return CPU seconds of a cursor move in the inspector over 65 536 tokens, by kind of move."""
    run = made_up_run.save_tokens_run(chunks=128, length=512)
    return asyncio.run(_inspector(run, rounds))


async def _inspector(run: str, rounds: int) -> dict[str, float]:
    from qfid_tui.app.screens.inspector import InspectorScreen

    app: App[None] = App()
    async with app.run_test(size=SIZE) as pilot:
        screen = InspectorScreen(run, "4")
        await app.push_screen(screen)
        while not screen.has_class("-ready"):
            await pilot.pause(0.02)
        # Alternate directions, so that no move is at an end of the text, where it has no effect.
        directions = itertools.cycle((1, -1))
        moves: dict[str, Callable[[], object]] = {
            "token": lambda: screen.action_token(next(directions)),
            "line": lambda: screen.action_line(next(directions)),
            "flip": lambda: screen.action_flip(next(directions)),
            "page": lambda: screen.action_page(next(directions)),
            "largest": lambda: screen.action_largest(1),
        }
        screen.action_largest(1)
        best = dict.fromkeys(moves, math.inf)
        for _ in range(rounds):
            idle = await _cpu(lambda: None)
            for name, move in moves.items():
                best[name] = min(best[name], max(0.0, await _cpu(move) - idle))
        return best


async def _cpu(move: Callable[[], object], times: int = 40) -> float:
    start = time.process_time()
    for _ in range(times):
        move()
        # Long enough to draw the change.
        await asyncio.sleep(0.03)
    return (time.process_time() - start) / times
