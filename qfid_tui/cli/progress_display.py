"""Progress of a run on standard error: lines, or a bar that is rewritten in place."""

from __future__ import annotations

import os
import sys
import time

from qfid_tui.cli import diagnostics
from qfid_tui.state.progress import Clock, RunProgress
from qfid_tui.words.progress import (
    done_text,
    dropped_text,
    duration,
    loading_text,
    look_text,
    planned_text,
    rank_lines,
    rate_text,
    where_text,
)
from qfid_tui.words.run_rows import cut
from scorer.spec.events import (
    ChunkScored,
    Event,
    Failed,
    Finished,
    Loading,
    Looked,
    Planned,
    Progress,
    SettingDropped,
    SettingFailedEvent,
    Warned,
)

_REPAINT_SECONDS = 0.1
_BAR_WIDTHS = (8, 40)


class ProgressLines:
    """Progress as a few lines, if standard error is not a terminal."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self.run = RunProgress(clock)
        self._last_tenth = -1

    def add(self, event: Event) -> None:
        """Handle an event: write a line for each step, and for every tenth of the chunks."""
        self.run.add(event)
        if isinstance(event, Loading):
            self.say(loading_text(event))
        elif isinstance(event, Planned):
            self.say(planned_text(event))
            self.say(f"saved as run {event.run}")
            # The first chunk always gets a line, because the remaining time is known from then on.
            self._last_tenth = -1
        elif isinstance(event, Warned | SettingFailedEvent):
            self._write_problem(event)
        elif isinstance(event, SettingDropped):
            self.say(dropped_text(event.setting, event.reason))
        elif isinstance(event, Looked):
            self.say(look_text(event))
            self._last_tenth = 10 * self.run.complete // max(1, self.run.chunks)
        elif isinstance(event, Finished | Failed):
            self._say_ranks()
        elif isinstance(event, ChunkScored) and self._has_news:
            self.say(", ".join((done_text(self.run), *_speed(self.run))) + _kl_text(self.run))

    @property
    def _has_news(self) -> bool:
        """Whether another tenth of the run is scored since it was last asked."""
        run = self.run
        if run.in_turns:
            tenth = 10 * run.saved // max(1, run.planned_in_all)
        elif run.chunks and run.complete and run.rate is not None:
            tenth = 10 * run.complete // run.chunks
        else:
            return False
        before, self._last_tenth = self._last_tenth, max(tenth, self._last_tenth)
        return tenth > before

    def _write_problem(self, event: Warned | SettingFailedEvent) -> None:
        kind = "warning"
        if isinstance(event, SettingFailedEvent):
            kind = f"setting `{event.setting}` failed"
        self.clear()
        diagnostics.say_with_hint(kind, event.message, event.hint)

    def _say_ranks(self) -> None:
        """Say, once the run is over, what each rank did."""
        for line in () if self.run.ranks is None else rank_lines(self.run.ranks):
            self.say(line)

    def say(self, text: str) -> None:
        """Write a permanent line."""
        self.clear()
        diagnostics.say(text)

    def clear(self) -> None:
        """Remove temporary lines; here there are none."""

    def handler_line(self, text: str) -> str:
        """Return the line that a signal handler writes for ``text``."""
        return f"{text}\n"


class ProgressBar(ProgressLines):
    """Progress as two lines that are rewritten in place, on a terminal."""

    def __init__(self, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._clock = clock
        self._painted = float("-inf")
        self._shown = False
        encoding = (getattr(sys.stderr, "encoding", None) or "ascii").lower()
        self._signs = "█░" if encoding.startswith("utf") else "#-"

    def add(self, event: Event) -> None:
        """Handle an event; rewrite the lines at most ten times a second."""
        self.run.add(event)
        if isinstance(event, Loading):
            self._paint([loading_text(event)], _columns())
        elif isinstance(event, Planned):
            self.say(planned_text(event))
            self.say(f"saved as run {event.run}")
        elif isinstance(event, Warned | SettingFailedEvent):
            self._write_problem(event)
        elif isinstance(event, SettingDropped):
            self.say(dropped_text(event.setting, event.reason))
        elif isinstance(event, Looked):
            self.say(look_text(event))
        elif isinstance(event, Finished | Failed):
            self._say_ranks()
        elif isinstance(event, Progress | ChunkScored):
            if self._clock() - self._painted >= _REPAINT_SECONDS:
                columns = _columns()
                self._paint(self._lines(columns), columns)

    def clear(self) -> None:
        """Remove the lines; the cursor is then where they started."""
        self._painted = float("-inf")
        if self._shown:
            self._shown = False
            diagnostics.write("\r\x1b[J")

    def handler_line(self, text: str) -> str:
        """Return the line for ``text``, which replaces the lines that are shown."""
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
        # A line as wide as the terminal would wrap, and then could not be rewritten.
        shown = [cut(line, columns - 1) for line in lines if line]
        back = f"\r\x1b[{len(shown) - 1}A" if len(shown) > 1 else "\r"
        diagnostics.write("\r\x1b[J" + "\n".join(shown) + back)
        self._shown = True


def _columns() -> int:
    """Return the width of the terminal on standard error; that on standard output may differ."""
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns or 80
    except (OSError, ValueError):
        return 80


def progress_display() -> ProgressLines:
    """Return a bar if standard error is a terminal, else lines."""
    return ProgressBar() if diagnostics.on_terminal() else ProgressLines()


def _where(run: RunProgress) -> tuple[str, str]:
    return where_text(run), f"{100 * run.fraction:.0f} %"


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
