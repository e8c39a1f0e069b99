"""How far a run is: what the events add up to, and what is shown of it on standard error."""

from __future__ import annotations

import time
from collections.abc import Callable

from scorer.spec.events import (
    ChunkScored,
    Event,
    Planned,
    Progress,
    SettingFailedEvent,
)

Clock = Callable[[], float]


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
