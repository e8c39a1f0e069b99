"""Progress of a run, computed from its events."""

from __future__ import annotations

import time
from collections.abc import Callable

from qfid_tui.state.work_time import WorkTime
from scorer.spec.events import (
    ChunkScored,
    Event,
    Planned,
    Progress,
    SettingFailedEvent,
)

Clock = Callable[[], float]


class RunProgress:
    """Progress, rate and time left of a run.

    Attributes:
        planned: The plan of the run; None before it is known.
        current: The setting of the last forward pass; "" for the reference.
        scored: Scored chunks of each setting, those of earlier processes included.
        failed: Settings that failed.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._work_time: WorkTime | None = None
        self._at_begin = 0
        self._of_batch = 0.0
        self._kl: dict[str, tuple[float, int]] = {}
        self._complete: int | None = None
        self.planned: Planned | None = None
        self.current = ""
        self.scored: dict[str, int] = {}
        self.failed: set[str] = set()

    def add(self, event: Event) -> None:
        """Apply one event."""
        if self._work_time is not None:
            self._work_time.news()
        if isinstance(event, ChunkScored):
            before, count = self.complete, self.scored.get(event.setting, 0)
            self.scored[event.setting] = count + 1
            if count <= before:
                self._complete = None
            if self.planned is None or event.chunk not in self.planned.equal_chunks:
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
            self._work_time = WorkTime(self._clock)
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
        """Chunks on which every setting has been scored, failed settings left out."""
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
        """Scored share of the run, with a part of the current batch; 0 to 1."""
        share = (self._at_begin + self._work()) / self.chunks if self.chunks else 0.0
        return max(0.0, min(1.0, share))

    @property
    def rate(self) -> float | None:
        """Chunks per second, each scored by every setting; None before the first."""
        seconds = 0.0 if self._work_time is None else self._work_time.seconds
        if self.complete <= self._at_begin or seconds <= 0:
            return None
        return self._work() / seconds

    @property
    def silence(self) -> float | None:
        """Seconds since the last event where that is unusually long; else None."""
        return None if self._work_time is None else self._work_time.silence

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last chunk at the rate so far; None before the first is scored."""
        rate = self.rate
        if rate is None:
            return None
        return max(0.0, self.chunks - self._at_begin - self._work()) / rate

    @property
    def kl_means(self) -> dict[str, float]:
        """Per setting, the mean KL over the positions that this process scored, nats."""
        return {name: total / n for name, (total, n) in self._kl.items() if n}

    def _work(self) -> float:
        """Chunks scored since the start, with a part of the current batch."""
        batch = 1 if self.planned is None else self.planned.batch
        part = self._of_batch * min(batch, self.chunks - self.complete)
        return self.complete - self._at_begin + part
