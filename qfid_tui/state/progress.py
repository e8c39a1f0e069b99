"""Progress of a run, computed from its events."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from qfid_tui.state.work_time import WorkTime
from scorer.common.errors import InputError
from scorer.spec.events import (
    ChunkScored,
    Event,
    Loading,
    Looked,
    Planned,
    Progress,
    RanksScored,
    SettingDropped,
    SettingFailedEvent,
)
from scorer.spec.settings.registry import parse_setting
from scorer.spec.settings.weights import weights_of

Clock = Callable[[], float]


@dataclass(slots=True)
class _BegunBatch:
    """A batch whose passes have begun.

    Attributes:
        share: Of its passes that are done, 0 to 1.
        scored: Chunks of it that are scored, over all settings.
    """

    share: float = 0.0
    scored: int = 0


class RunProgress:
    """Progress, rate and time left of a run.

    What is counted is a setting on a chunk: where sets of weights take turns, no chunk is complete
    under every setting before the last turn.

    Attributes:
        planned: The plan of the run; None before it is known.
        current: The setting of the last forward pass; "" for the reference.
        scored: Scored chunks of each setting, those of earlier processes included.
        failed: Settings that failed.
        dropped: Settings that are scored no further, and why.
        loading: What is loaded while the run goes on; None while it scores.
        ranks: What the processes that share the run did in the last round; None for one process.
        in_turns: Whether sets of weights have been seen to take turns.
        look: What the last look of a run that stops once it is settled said; None before.
        earlier: Chunks that the run had before others were added to it; 0 where none are. Whoever
            adds them says so.
    """

    def __init__(self, clock: Clock = time.monotonic) -> None:
        self._clock = clock
        self._work_time: WorkTime | None = None
        self._at_begin = 0
        self._places: dict[int, int] = {}
        # By the first chunk of each: several are scored at once.
        self._begun: dict[int, _BegunBatch] = {}
        self._most = 0.0
        self._kl: dict[str, tuple[float, int]] = {}
        self._complete: int | None = None
        self._weights: dict[str, str] = {}
        self.planned: Planned | None = None
        self.current = ""
        self.scored: dict[str, int] = {}
        self.failed: set[str] = set()
        self.dropped: dict[str, str] = {}
        self.loading: Loading | None = None
        self.ranks: RanksScored | None = None
        self.in_turns = False
        self.look: Looked | None = None
        self._until = 0
        self.earlier = 0

    def add(self, event: Event) -> None:
        """Apply one event."""
        if self._work_time is not None:
            self._work_time.news()
        if isinstance(event, ChunkScored):
            self._add_chunk(event)
        elif isinstance(event, Planned):
            self.planned = event
            self.scored = {name: event.done.get(name, 0) for name in event.settings}
            self._weights = {name: _weights_of(name) for name in event.settings}
            self._complete = None
            self._work_time = WorkTime(self._clock)
            self._at_begin = self._done
            self._most, self.loading, self.look = 0.0, None, None
            least = min(self.scored.values(), default=0)
            # The first look is where the settings that have most chunks had their last.
            most = max(self.scored.values(), default=0)
            seen = sum(size <= most for size in event.looks)
            ahead = event.looks[max(0, seen - 1) :]
            self._until = next((size for size in ahead if size > least), len(event.chunks))
            self._places = {chunk: place for place, chunk in enumerate(event.chunks)}
            self._begun = {}
        elif isinstance(event, Progress):
            self._add_pass(event)
        elif isinstance(event, RanksScored):
            self.ranks = event
        elif isinstance(event, Loading) and self.planned is not None:
            self.loading, self.in_turns = event, True
            self._begun = {}
        elif isinstance(event, SettingFailedEvent):
            self.failed.add(event.setting)
            self._complete = None
        elif isinstance(event, Looked):
            self.look, self._complete = event, None
            self._until = event.looks[event.look - (event.stops or event.look == len(event.looks))]
        elif isinstance(event, SettingDropped):
            self.dropped[event.setting] = event.reason
            self._complete = None

    def _add_chunk(self, event: ChunkScored) -> None:
        self.loading = None
        before, count = self.complete, self.scored.get(event.setting, 0)
        self.scored[event.setting] = count + 1
        if count <= before:
            self._complete = None
        if self.planned is None:
            return
        self._note_scored(event.chunk)
        if event.chunk not in self.planned.equal_chunks:
            total, positions = self._kl.get(event.setting, (0.0, 0))
            self._kl[event.setting] = (
                total + event.kl_mean * event.positions,
                positions + event.positions,
            )
        if count + 1 - self.planned.done.get(event.setting, 0) > self._behind + self.planned.batch:
            self.in_turns = True

    def _note_scored(self, chunk: int) -> None:
        """Count a scored chunk as one of its batch, if that has begun."""
        place = self._places.get(chunk, -1)
        before = [first for first in self._begun if self._places.get(first, -1) <= place]
        if not before:
            return
        # Chunks come in order: batches ahead of this one are complete.
        *complete, own = sorted(before, key=lambda first: self._places.get(first, -1))
        self._begun[own].scored += 1
        if self._begun[own].scored >= self._settings_on_batch:
            complete.append(own)
        for first in complete:
            del self._begun[first]

    @property
    def _settings_on_batch(self) -> int:
        """Settings on chunks of a batch that this turn scores."""
        turn = self.turn
        batch = 1 if self.planned is None else self.planned.batch
        names = [name for name in self._alive if turn in (None, self._weights.get(name))]
        return len(names) * min(batch, max(0, self.chunks - self._complete_of(names)))

    @property
    def _behind(self) -> int:
        """Chunks that this process scored under the setting that lacks most."""
        assert self.planned is not None
        done = self.planned.done
        counts = (
            self.scored[name] - done.get(name, 0)
            for name in self._alive
            if done.get(name, 0) < self.chunks
        )
        return min(counts, default=0)

    def _add_pass(self, event: Progress) -> None:
        self.current, self.loading = event.setting, None
        share = event.done / event.total if event.total > 0 else 0.0
        begun = self._begun.get(event.chunk)
        if begun is None or share < begun.share:
            begun = self._begun[event.chunk] = _BegunBatch()
        begun.share = min(1.0, max(0.0, share))

    @property
    def chunks(self) -> int:
        """Chunks of the run; of one that stops once it is settled, those until its next look."""
        return 0 if self.planned is None else self._until

    @property
    def added(self) -> int:
        """Chunks that are added to the run; 0 where none are."""
        return max(0, self.chunks - self.earlier) if self.earlier else 0

    @property
    def _alive(self) -> list[str]:
        """The settings that are scored on every chunk."""
        names = self.scored if self.planned is None else self.planned.settings
        return [name for name in names if name not in self.failed and name not in self.dropped]

    @property
    def complete(self) -> int:
        """Chunks on which every setting has been scored, failed and dropped ones left out."""
        if self._complete is None:
            self._complete = self._complete_of(self._alive)
        return self._complete

    def _complete_of(self, names: Iterable[str]) -> int:
        return min(min((self.scored[name] for name in names), default=self.chunks), self.chunks)

    @property
    def turn(self) -> str | None:
        """The weights whose turn it is, in notation, "" for the reference's; None without turns."""
        return self._weights.get(self.current, "") if self.in_turns else None

    @property
    def complete_of_turn(self) -> int:
        """Chunks on which every setting of this turn has been scored; of all without turns."""
        turn = self.turn
        if turn is None:
            return self.complete
        return self._complete_of(name for name in self._alive if self._weights.get(name) == turn)

    @property
    def saved(self) -> int:
        """Scored chunks over all settings, those of earlier processes included."""
        return sum(self.scored.values())

    @property
    def planned_in_all(self) -> int:
        """Chunks over all settings, those left out that failed and dropped ones lack."""
        if self.planned is None:
            return 0
        alive = self._alive
        rest = (self.scored[name] for name in self.planned.settings if name not in alive)
        return len(alive) * self.chunks + sum(rest)

    @property
    def _done(self) -> int:
        """Scored chunks over all planned settings."""
        if self.planned is None:
            return 0
        return sum(self.scored[name] for name in self.planned.settings)

    @property
    def fraction(self) -> float:
        """Scored share of the run, with parts of the begun batches; 0 to 1.

        Where chunks are added to a run, of what it lacked.
        """
        planned = self.planned_in_all
        if self.added and planned > self._at_begin:
            return max(0.0, min(1.0, self._work() / (planned - self._at_begin)))
        if not planned:
            return 1.0 if self.planned is not None and self.chunks else 0.0
        return max(0.0, min(1.0, (self._at_begin + self._work()) / planned))

    @property
    def rate(self) -> float | None:
        """Chunks per second, each scored by every setting; None before the first."""
        cells = self._cells_per_second
        return None if cells is None else cells / max(1, len(self._alive))

    @property
    def _cells_per_second(self) -> float | None:
        seconds = 0.0 if self._work_time is None else self._work_time.seconds
        work = self._work()
        if self._done <= self._at_begin or seconds <= 0 or work <= 0:
            return None
        return work / seconds

    @property
    def silence(self) -> float | None:
        """Seconds since the last event where that is unusually long; else None."""
        return None if self._work_time is None else self._work_time.silence

    @property
    def seconds_left(self) -> float | None:
        """Seconds until the last chunk at the rate so far; None before the first is scored."""
        rate = self._cells_per_second
        if rate is None:
            return None
        return max(0.0, self.planned_in_all - self._at_begin - self._work()) / rate

    @property
    def kl_means(self) -> dict[str, float]:
        """Per setting, the mean KL over the positions that this process scored, nats."""
        return {name: total / n for name, (total, n) in self._kl.items() if n}

    def _work(self) -> float:
        """Chunks over all settings scored since the start, with parts of the begun batches."""
        part = 0.0
        if self._begun and (self.turn is None or self.current):
            each = self._settings_on_batch
            part = sum(max(0.0, b.share * each - b.scored) for b in self._begun.values())
        most = max(0, self.planned_in_all - self._at_begin)
        work = min(most, self._done + part - self._at_begin)
        # A batch that begins anew takes nothing back.
        self._most = min(most, max(self._most, work))
        return self._most


def _weights_of(name: str) -> str:
    """The weights of a setting in notation; "" for the reference's."""
    try:
        source = weights_of(parse_setting(name))
    except InputError:
        return ""
    return "" if source is None else source.key
