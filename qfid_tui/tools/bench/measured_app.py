"""The app, with a clock on what happens in it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from textual import events
from textual.screen import Screen

from qfid_tui.app.app import QfidApp
from qfid_tui.app.run_worker import RunningScorer
from qfid_tui.app.screens.workbench import WorkbenchScreen
from qfid_tui.app.widgets.rows import Rows
from qfid_tui.process.replay import replay_command
from qfid_tui.tools.bench import made_up_run
from scorer.spec.events import Event


class MeasuredScreen(WorkbenchScreen):
    """Counts paints, and says when a key has moved the cursor."""

    paints = 0
    _moved = False

    def paint(self, *, charts: bool = True) -> None:
        """Show what is chosen and scored now."""
        self.paints += 1
        super().paint(charts=charts)

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """The cursor is on another row; the workbench's own handler is called next."""
        self._moved = True

    def paint_keys(self) -> None:
        """The last of what follows the cursor."""
        super().paint_keys()
        if self._moved and isinstance(self.app, MeasuredApp):
            self._moved = False
            self.app.key_done()


class MeasuredApp(QfidApp):
    """The app on a recording, without the user's choices.

    Attributes:
        first: When the first event was there; 0.0 before.
        last: When the last one was painted; 0.0 before.
        cpu: CPU seconds that this process took between the two.
        latencies: Seconds from each key to the end of what it does.
    """

    def __init__(self, recording: Path, chunks: int, speed: float) -> None:
        command = replay_command(recording, speed)
        made = made_up_run.choices(chunks)
        super().__init__(made, command=command, probe=False, keep=False)
        self.first = self.last = self.cpu = 0.0
        self.latencies: list[float] = []
        self._sent: deque[float] = deque()

    def get_default_screen(self) -> Screen[Any]:
        """The workbench with its clock."""
        return MeasuredScreen()

    async def _listen(self, scorer: RunningScorer) -> None:
        blocks = scorer.blocks

        async def timed() -> AsyncIterator[list[Event]]:
            async for block in blocks():
                if not self.first:
                    self.first, self.cpu = time.perf_counter(), -time.process_time()
                yield block
                if self.comparison.phase == "finished" and not self.last:
                    self.workbench.paint()
                    self.last = time.perf_counter()
                    self.cpu += time.process_time()

        scorer.blocks = timed  # type: ignore[method-assign]
        await super()._listen(scorer)

    @property
    def keys_pending(self) -> int:
        """Keys whose end is still to come."""
        return len(self._sent)

    def key_done(self) -> None:
        """A key has done what it does."""
        if self._sent:
            self.latencies.append(time.perf_counter() - self._sent.popleft())

    def type_keys(self, every: float, stop: threading.Event) -> None:
        """Move the cursor down and up from a thread, as the terminal's own thread does."""
        down = True
        while not stop.wait(every):
            self._sent.append(time.perf_counter())
            self.post_message(events.Key("down" if down else "up", None))
            down = not down

    async def wait_until(self, true: Callable[[], bool], seconds: float = 60.0) -> None:
        """Let the app work until something holds.

        Raises:
            TimeoutError: It never did.
        """
        end = time.monotonic() + seconds
        while not true():
            if time.monotonic() > end:
                raise TimeoutError("the app never got there")
            await asyncio.sleep(0.01)

    @property
    def is_ready(self) -> bool:
        """Whether the panels are there and the models are read."""
        screen = self.workbench
        return bool(screen.is_filled) and not screen.picker.is_reading
