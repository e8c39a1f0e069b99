"""Progress of a run on standard error: lines, or a bar that is painted in place."""

from __future__ import annotations

import os
import sys
import time

from qfid_tui.cli import diagnostics
from qfid_tui.state.progress import Clock, RunProgress
from qfid_tui.words.progress import chunks_text, duration, loading_text, planned_text, rate_text
from qfid_tui.words.run_rows import cut
from scorer.spec.events import (
    ChunkScored,
    Event,
    Loading,
    Planned,
    Progress,
    SettingFailedEvent,
    Warned,
)

_REPAINT_SECONDS = 0.1


_BAR_WIDTHS = (8, 40)


class ProgressLines:
    """Progress as a few plain lines, for a standard error that is no terminal."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.run = RunProgress(clock)
        self._told = -1

    def add(self, event: Event) -> None:
        """Take in one event and write what is worth a line: steps, then every tenth."""
        self.run.add(event)
        if isinstance(event, Loading):
            self.say(loading_text(event))
        elif isinstance(event, Planned):
            self.say(planned_text(event))
            self.say(f"saved as run {event.run}")
            # The first chunk is always told, because the time left is known from it on.
            self._told = -1
        elif isinstance(event, Warned | SettingFailedEvent):
            self._tell_of(event)
        elif isinstance(event, ChunkScored) and self.run.rate is not None:
            tenth = 10 * self.run.complete // self.run.chunks
            if tenth > self._told:
                self._told = tenth
                done = f"{self.run.complete} of {chunks_text(self.run.chunks)} scored"
                self.say(", ".join((done, *_speed(self.run))) + _kl_text(self.run))

    def _tell_of(self, event: Warned | SettingFailedEvent) -> None:
        kind = "warning"
        if isinstance(event, SettingFailedEvent):
            kind = f"setting `{event.setting}` failed"
        self.clear()
        diagnostics.say_with_hint(kind, event.message, event.hint)

    def say(self, text: str) -> None:
        """Write a line that stays."""
        self.clear()
        diagnostics.say(text)

    def clear(self) -> None:
        """Take away what is shown for the moment only; here nothing."""

    def interjection(self, text: str) -> str:
        """``text`` as one line for a signal handler to write at once."""
        return f"{text}\n"


class ProgressBar(ProgressLines):
    """Progress as two lines that are rewritten in place, for a terminal."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._clock = clock
        self._painted = float("-inf")
        self._shown = False
        encoding = (getattr(sys.stderr, "encoding", None) or "ascii").lower()
        self._signs = "█░" if encoding.startswith("utf") else "#-"

    def add(self, event: Event) -> None:
        """Take in one event; repaint at most ten times a second."""
        self.run.add(event)
        if isinstance(event, Loading):
            self._paint([loading_text(event)], _columns())
        elif isinstance(event, Planned):
            self.say(planned_text(event))
            self.say(f"saved as run {event.run}")
        elif isinstance(event, Warned | SettingFailedEvent):
            self._tell_of(event)
        elif isinstance(event, Progress | ChunkScored):
            if self._clock() - self._painted >= _REPAINT_SECONDS:
                columns = _columns()
                self._paint(self._lines(columns), columns)

    def clear(self) -> None:
        """Take the lines away; the cursor stands where they began."""
        self._painted = float("-inf")
        if self._shown:
            self._shown = False
            diagnostics.write("\r\x1b[J")

    def interjection(self, text: str) -> str:
        """``text`` as one line that takes the place of what is shown."""
        return f"\r\x1b[J{text}\n"

    def _lines(self, columns: int) -> list[str]:
        run = self.run
        setting = f"setting {run.current}" if run.current else "reference"
        where, percent = _where(run)
        rest = " · ".join((percent, *_speed(run), setting))
        narrow, wide = _BAR_WIDTHS
        width = max(narrow, min(wide, columns - len(where) - len(rest) - 3))
        filled = int(width * run.fraction)
        bar = self._signs[0] * filled + self._signs[1] * (width - filled)
        return [f"{where} {bar} {rest}", _kl_text(run).removeprefix("; ")]

    def _paint(self, lines: list[str], columns: int) -> None:
        self._painted = self._clock()
        # A line as wide as the terminal would wrap and could not be rewritten.
        shown = [cut(line, columns - 1) for line in lines if line]
        back = f"\r\x1b[{len(shown) - 1}A" if len(shown) > 1 else "\r"
        diagnostics.write("\r\x1b[J" + "\n".join(shown) + back)
        self._shown = True


def _columns() -> int:
    """Width of the terminal that standard error is, which may not be that of standard output."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def progress_display() -> ProgressLines:
    """The display that fits standard error."""
    return ProgressBar() if diagnostics.on_terminal() else ProgressLines()


def _where(run: RunProgress) -> tuple[str, str]:
    return (
        f"chunk {min(run.complete + 1, run.chunks)} of {run.chunks}",
        f"{100 * run.fraction:.0f} %",
    )


def _speed(run: RunProgress) -> list[str]:
    rate, left = run.rate, run.seconds_left
    if rate is None or left is None:
        return []
    return [rate_text(rate), f"{duration(left)} left"]


def _kl_text(run: RunProgress) -> str:
    means = run.kl_means
    if not means:
        return ""
    return "; KL mean " + ", ".join(f"{name}: {mean:.3g}" for name, mean in means.items())
