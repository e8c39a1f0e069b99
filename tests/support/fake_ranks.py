"""Ranks that stand in for processes: what they score, and how rank 0 reaches them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, cast

import numpy as np

from scorer.common.errors import (
    RankLost,
    SettingFailed,
)
from scorer.engine.outcomes import LaneFailed, Outcome, PassDone, Scored, ScoreTask
from scorer.engine.rank_wire import (
    Share,
    failure_values,
    from_message,
    outcomes_message,
)
from scorer.engine.tiles import Batch
from scorer.runs.engagement import Engagement, SideEngagement
from scorer.stats.positions import Positions

LENGTH = 6
FOUND = Engagement((SideEngagement("0", "k", "Cache", 8, 64, 5, 40, True),), 1, ())


class Named:
    """A lane of which only the key counts."""

    def __init__(self, key: str) -> None:
        self.key = key


LANES = {key: cast(Any, Named(key)) for key in ("a", "b")}
IDS = np.arange(100 * LENGTH, dtype=np.int32).reshape(100, LENGTH)


def task(*chunks: int, lanes: str = "ab") -> ScoreTask:
    batch = Batch(chunks, IDS[chunks[0] : chunks[-1] + 1], 1)
    return ScoreTask(batch, [LANES[key] for key in lanes])


def positions(batch: Batch, row: int, key: str) -> Positions:
    """Positions that say where they are of; awkward values among them."""
    chunk, first = batch.chunks[row], 1 if key == "a" else 2
    count = LENGTH - 1 - first
    values = np.random.default_rng([chunk, ord(key)]).normal(size=(5, count))
    values[0, 0] = np.inf
    values[1, 0] = -0.0
    kl, nll_ref, nll_quant, top_ref, top_quant = values
    return Positions(
        chunk=np.full(count, chunk, np.int32),
        position=np.arange(first, LENGTH - 1, dtype=np.int32),
        token=batch.ids[row, first + 1 :],
        kl=kl,
        nll_ref=nll_ref,
        nll_quant=nll_quant,
        top_ref=np.full(count, 2**31 - 1, np.int32),
        top_ref_logprob=top_ref,
        top_quant=np.full(count, chunk, np.int32),
        top_quant_logprob=top_quant,
    )


class Scoring:
    """Scores tasks at once; fails or breaks off where a test says so."""

    at_once = 1

    def __init__(
        self, failing: dict[int, str] | None = None, error: BaseException | None = None
    ) -> None:
        self.failing = failing or {}
        self.error = error
        self.given: list[tuple[int, ...]] = []

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        failed: set[str] = set()
        for number, each in enumerate(tasks):
            self.given.append(each.batch.chunks)
            if self.error is not None and number == 1:
                raise self.error
            yield PassDone(each.batch, None, 1, 2)
            for lane in each.lanes:
                if self.failing.get(each.batch.chunks[0]) == lane.key:
                    failed.add(lane.key)
                    yield LaneFailed(lane, SettingFailed(f"{lane.key} fails", "a hint"))
                elif lane.key not in failed:
                    rows = range(len(each.batch.chunks))
                    made = [positions(each.batch, row, lane.key) for row in rows]
                    yield Scored(lane, made, 0.5, FOUND)


class Ahead(Scoring):
    """Gives outcomes late, as a device does that works ahead."""

    def __init__(self, failing: dict[int, str] | None = None, *, ahead: int = 0) -> None:
        super().__init__(failing)
        self.streams = 0
        self._ahead = ahead

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        self.streams += 1
        waiting: deque[Outcome] = deque()
        for outcome in super().score(tasks):
            waiting.append(outcome)
            if len(waiting) > self._ahead:
                yield waiting.popleft()
        yield from waiting


class Begun:
    """An exchange that is done once it has been asked for so often."""

    def __init__(self, found: list[bytes] | RankLost, asked: int) -> None:
        self._found = found
        self._left = asked
        self.is_taken = False

    def is_done(self) -> bool:
        self._left -= 1
        return self._left < 0

    def result(self) -> list[bytes]:
        self.is_taken = True
        if isinstance(self._found, RankLost):
            raise self._found
        return self._found


class FakeTeam:
    """Ranks that score in this process, each with a scoring of its own."""

    def __init__(
        self, *others: Scoring, lost_at: int | None = None, slow: Callable[[], int] = int
    ) -> None:
        self.names: Sequence[str] = [f"rank {n}" for n in range(len(others) + 1)]
        self.gathered = 0
        self.is_over_host = True
        self.begun: list[Begun] = []
        self.commands: list[dict[str, Any]] = []
        self._others = others
        self._exchanges = 0
        self._lost_at = lost_at
        self._slow = slow
        self._replies: deque[list[bytes]] = deque()
        self._gather = False

    def exchange(self, message: bytes) -> list[bytes]:
        self._exchanges += 1
        if self._exchanges == self._lost_at:
            raise RankLost("rank 1 was lost")
        nothing = [b"" for _ in self._others]
        replies = [message, *(self._replies.popleft() if self._gather else nothing)]
        self.gathered += sum(map(len, replies))
        command = from_message(message)[0]
        self.commands.append(command)
        if command["shares"]:
            pairs = zip(self._others, command["shares"][1:], strict=True)
            found = [reply_of(other, Share.from_json(values)) for other, values in pairs]
            self._replies.append(found)
        # Ranks that hold a model together have one share at a time.
        self._gather = command.get("gather", bool(command["shares"]))
        return replies

    lost = None

    def begin(self, message: bytes) -> Begun:
        found: list[bytes] | RankLost
        try:
            found = self.exchange(message)
        except RankLost as lost:
            found = lost
        self.begun.append(Begun(found, self._slow()))
        return self.begun[-1]

    group = None

    def computing(self) -> AbstractContextManager[None]:
        return nullcontext()

    def met(self, hosts: Sequence[str]) -> None: ...

    def round_took(self, seconds: float) -> None: ...


def reply_of(scoring: Scoring, share: Share) -> bytes:
    """What a rank says of its share."""
    given = [task(*chunks, lanes="".join(lanes)) for chunks, lanes in share.tasks]
    found: list[Scored | LaneFailed] = []
    error: dict[str, Any] | None = None
    try:
        for outcome in scoring.score(given):
            if isinstance(outcome, Scored | LaneFailed):
                found.append(outcome)
    except Exception as caught:
        error = failure_values(caught)
    return outcomes_message(found, given, seconds=0.5, error=error)


def told(outcomes: Iterable[Outcome]) -> list[tuple[str, str, tuple[int, ...]]]:
    """What came out: kind, lane, chunks."""
    found = []
    for outcome in outcomes:
        if isinstance(outcome, Scored):
            chunks = tuple(int(each.chunk[0]) for each in outcome.chunks)
            found.append(("scored", outcome.lane.key, chunks))
        elif isinstance(outcome, LaneFailed):
            found.append(("failed", outcome.lane.key, ()))
    return found


TASKS = [task(n, n + 1) for n in range(0, 20, 2)]


def until_error(outcomes: Iterator[Outcome]) -> tuple[list[Any], BaseException]:
    found = []
    try:
        for outcome in outcomes:
            found += told([outcome])
    except (Exception, MemoryError) as error:
        return found, error
    raise AssertionError("no error")


SHORT = RuntimeError("[malloc] Unable to allocate 5 bytes")
