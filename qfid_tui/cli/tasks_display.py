"""Progress of tasks on standard error: lines, or one that is rewritten in place."""

from __future__ import annotations

import time

from qfid_tui.cli import diagnostics
from qfid_tui.cli.progress_display import ProgressLines
from qfid_tui.state.progress import Clock
from qfid_tui.words.progress import duration, loading_text
from scorer.spec.events import (
    Event,
    Loading,
    RequestsScored,
    SettingFailedEvent,
    TasksPlanned,
    Warned,
)

_REPAINT_SECONDS = 0.1


class TasksDisplay(ProgressLines):
    """Progress of tasks.

    Args:
        rewrites: Whether the line can be rewritten; None to look.

    Attributes:
        planned: What is to be scored; None until it is known.
    """

    def __init__(self, clock: Clock = time.monotonic, rewrites: bool | None = None) -> None:
        super().__init__(clock)
        self.planned: TasksPlanned | None = None
        self._clock = clock
        self._rewrites = diagnostics.on_terminal() if rewrites is None else rewrites
        self._began = self._painted = float("-inf")
        self._tenth = -1
        self._is_shown = False

    def add(self, event: Event) -> None:
        """Handle an event."""
        if isinstance(event, Loading):
            self._temporary(loading_text(event))
        elif isinstance(event, TasksPlanned):
            self.planned, self._began = event, self._clock()
            for line in planned_lines(event):
                self.say(line)
        elif isinstance(event, Warned | SettingFailedEvent):
            self._write_problem(event)
        elif isinstance(event, RequestsScored):
            self._progress(event)

    def _progress(self, event: RequestsScored) -> None:
        now = self._clock()
        tenth = 10 * event.done // max(1, event.total)
        if self._rewrites:
            if now - self._painted < _REPAINT_SECONDS:
                return
        elif tenth == self._tenth:
            return
        self._tenth, self._painted = tenth, now
        self._temporary(self._line(event, now))

    def _line(self, event: RequestsScored, now: float) -> str:
        assert self.planned is not None
        scored, spent = event.done - self.planned.done, now - self._began
        parts = [f"{event.done} of {event.total} requests × settings"]
        if scored > 0 and spent > 0:
            rate = scored / spent
            parts.append(f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
            parts.append(f"{duration((event.total - event.done) / rate)} left")
        return ", ".join(parts)

    def _temporary(self, text: str) -> None:
        if not self._rewrites:
            diagnostics.say(text)
            return
        self._is_shown = True
        diagnostics.write(f"\r\x1b[J{text[:78]}")

    def clear(self) -> None:
        """Remove the line that is rewritten."""
        if self._is_shown:
            self._is_shown = False
            diagnostics.write("\r\x1b[J")

    def handler_line(self, text: str) -> str:
        """Return the line that a signal handler writes for ``text``."""
        return f"\r\x1b[J{text}\n" if self._rewrites else f"{text}\n"


def planned_lines(event: TasksPlanned) -> list[str]:
    """What is to be scored, in words."""
    names = ", ".join(event.tasks)
    lines = [
        f"{event.model}: {names}; {event.items} items, {event.requests} requests, "
        f"{len(event.settings)} {'setting' if len(event.settings) == 1 else 'settings'}",
        f"saved as {event.path}",
    ]
    if event.done:
        lines.append(f"{event.done} of {event.total} requests × settings were scored before")
    return lines
