"""The app with timers."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from textual import events

from qfid_tui.app.app import QfidApp
from qfid_tui.app.run_worker import RunningScorer
from qfid_tui.app.screens.workbench import WorkbenchScreen
from qfid_tui.app.widgets.rows import Rows
from qfid_tui.process.replay import replay_command
from qfid_tui.state.comparison import Comparison
from qfid_tui.state.workbench_changes import comparison_changed
from qfid_tui.tools.bench import made_up_run
from scorer.spec.events import Event


class MeasuredScreen(WorkbenchScreen):
    """Counts paints, and reports when a key has moved the cursor."""

    def __init__(self, host: MeasuredApp) -> None:
        super().__init__(host)
        self._measured = host
        self._moved = False

    def paint(self, *, charts: bool = True) -> None:
        """Count the paint, then paint."""
        self._measured.paints += 1
        super().paint(charts=charts)

    def on_rows_moved(self, message: Rows.Moved) -> None:
        """Record that the cursor has moved; Textual then calls the handler of the workbench."""
        self._moved = True

    def paint_keys(self) -> None:
        """Paint the keys, the last part of a cursor move, and report the end of the key."""
        super().paint_keys()
        if self._moved:
            self._moved = False
            self._measured.key_done()


class MeasuredApp(QfidApp):
    """The app with a recording and without the user's saved choices.

    Attributes:
        first: Time of the first event; 0.0 before.
        last: Time when the last event was painted; 0.0 before.
        cpu: CPU seconds of this process between the two.
        latencies: Seconds from each key press to the end of its effect.
        paints: How often the workbench was painted.
    """

    def __init__(self, recording: Path, chunks: int, speed: float) -> None:
        command = replay_command(recording, speed)
        made = made_up_run.choices(chunks)
        super().__init__(made, command=command, probe=False, keep=False)
        self.first = self.last = self.cpu = 0.0
        self.latencies: list[float] = []
        self.paints = 0
        self._sent: deque[float] = deque()

    def make_workbench(self) -> MeasuredScreen:
        """Return the workbench with timers."""
        return MeasuredScreen(self)

    async def listen(self, scorer: RunningScorer, comparison: Comparison) -> None:
        """Put the events into the comparison, with a clock on the first and the last."""
        blocks = scorer.blocks

        async def timed() -> AsyncIterator[list[Event]]:
            async for block in blocks():
                if not self.first:
                    self.first, self.cpu = time.perf_counter(), -time.process_time()
                yield block
                if comparison.failure is not None and not self.last:
                    self.workbench.update(comparison_changed(self.workbench.state))
                    self.last = time.perf_counter()
                    self.cpu += time.process_time()

        scorer.blocks = timed  # type: ignore[method-assign]
        await super().listen(scorer, comparison)

    @property
    def keys_pending(self) -> int:
        """Number of keys that are not handled yet."""
        return len(self._sent)

    def key_done(self) -> None:
        """Record the latency of a key that is handled."""
        if self._sent:
            self.latencies.append(time.perf_counter() - self._sent.popleft())

    def type_keys(self, every: float, stop: threading.Event) -> None:
        """Press down and up alternately, from a thread, as the terminal driver does."""
        down = True
        while not stop.wait(every):
            self._sent.append(time.perf_counter())
            self.post_message(events.Key("down" if down else "up", None))
            down = not down

    async def wait_until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        """Wait until a condition holds.

        Raises:
            TimeoutError: It did not hold in time.
        """
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TimeoutError("the condition did not hold in time")
            await asyncio.sleep(0.01)

    @property
    def is_ready(self) -> bool:
        """Whether the panels are filled and the models are read."""
        screen = self.workbench
        return screen.is_filled and not screen.picker.is_reading
