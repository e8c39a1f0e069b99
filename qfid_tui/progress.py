"""How far a run is: what the events add up to, and what is shown of it on standard error."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable

from qfid_tui import diagnostics
from qfid_tui.run_rows import cut
from scorer.events import (
    ChunkScored,
    Event,
    Loading,
    Planned,
    Progress,
    SettingFailedEvent,
    Warned,
)

Clock = Callable[[], float]

_REPAINT_SECONDS = 0.1
_BAR_WIDTHS = (8, 40)


class RunProgress:
    """What the events of a run add up to. Knows nothing of terminals.

    Attributes:
        planned: What the run will do, once known.
        current: The setting of the last forward pass; "" for the reference.
        scored: Per setting, chunks scored by now, those of earlier processes included.
        failed: Settings that failed.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._began = 0.0
        self._at_begin = 0
        self._of_batch = 0.0
        self._kl: dict[str, tuple[float, int]] = {}
        self._complete: int | None = None
        self.planned: Planned | None = None
        self.current = ""
        self.scored: dict[str, int] = {}
        self.failed: set[str] = set()

    def add(self, event: Event) -> None:
        """Take in one event."""
        if isinstance(event, ChunkScored):
            before, count = self.complete, self.scored.get(event.setting, 0)
            self.scored[event.setting] = count + 1
            if count <= before:
                self._complete = None
            total, positions = self._kl.get(event.setting, (0.0, 0))
            self._kl[event.setting] = (
                total + event.kl_mean * event.positions,
                positions + event.positions,
            )
            if self.complete > before:
                self._of_batch = 0.0
        elif isinstance(event, Planned):
            self.planned = event
            self.scored = {name: event.done.get(name, 0) for name in event.settings}
            self._complete = None
            self._began = self._clock()
            self._at_begin = self.complete
        elif isinstance(event, Progress):
            self.current = event.setting
            self._of_batch = event.done / event.total if event.total > 0 else 0.0
        elif isinstance(event, SettingFailedEvent):
            self.failed.add(event.setting)
            self._complete = None

    @property
    def chunks(self) -> int:
        """Chunks of the run."""
        return 0 if self.planned is None else len(self.planned.chunks)

    @property
    def complete(self) -> int:
        """Chunks that every setting still alive has been scored on."""
        if self._complete is None:
            alive = [count for name, count in self.scored.items() if name not in self.failed]
            self._complete = min(min(alive, default=self.chunks), self.chunks)
        return self._complete

    @property
    def saved(self) -> int:
        """Scored chunks over all settings, those of earlier processes included."""
        return sum(self.scored.values())

    @property
    def fraction(self) -> float:
        """Share of the run's chunks that are scored, the current batch in part; 0 to 1."""
        share = (self._at_begin + self._work()) / self.chunks if self.chunks else 0.0
        return max(0.0, min(1.0, share))

    @property
    def rate(self) -> float | None:
        """Chunks per second, every setting counted together; None before the first is scored."""
        seconds = self._clock() - self._began
        if self.complete <= self._at_begin or seconds <= 0:
            return None
        return self._work() / seconds

    @property
    def seconds_left(self) -> float | None:
        """Time until the last chunk at the rate so far; None before the first is scored."""
        rate = self.rate
        if rate is None:
            return None
        return max(0.0, self.chunks - self._at_begin - self._work()) / rate

    @property
    def kl_means(self) -> dict[str, float]:
        """Per setting, the mean KL over the positions that this process scored, nats."""
        return {name: total / n for name, (total, n) in self._kl.items() if n}

    def _work(self) -> float:
        """Chunks scored since the run began, the current batch in part."""
        batch = 1 if self.planned is None else self.planned.batch
        part = self._of_batch * min(batch, self.chunks - self.complete)
        return self.complete - self._at_begin + part


def duration(seconds: float) -> str:
    """A time for people: ``48 s``, ``3 min 20 s``, ``1 h 05 min``."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02} min"


def rate_text(rate: float) -> str:
    """Chunks per second, or seconds per chunk where that reads better."""
    return f"{rate:.1f} chunks/s" if rate >= 1 else f"{1 / rate:.1f} s/chunk"


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
                done = f"{self.run.complete} of {_chunks(self.run.chunks)} scored"
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


def loading_text(event: Loading) -> str:
    """A step before scoring as a line."""
    named = {"model": "loading", "tokenizing": "tokenizing", "corpus": "fetching"}
    if event.step in named:
        return f"{named[event.step]} {event.detail or event.step}"
    return f"{event.step} {event.detail}".strip()


def planned_text(event: Planned) -> str:
    """What the run will do, as a line."""
    settings = ", ".join(event.settings)
    already = sum(event.done.values())
    known = f", {already} of {len(event.chunks) * len(event.settings)} scored already"
    return (
        f"scoring {settings} on {_chunks(len(event.chunks))} with {event.model} "
        f"({event.arithmetic}){known if already else ''}"
    )


def _chunks(count: int) -> str:
    return f"{count} chunk" if count == 1 else f"{count} chunks"


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
