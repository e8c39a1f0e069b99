"""Rounds of the ranks, as rank 0 deals and gathers them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from scorer.common.error_values import error_of
from scorer.common.errors import Interrupted, QfidError, RankLost
from scorer.engine.outcomes import (
    BatchScorer,
    LaneFailed,
    Outcome,
    Scored,
    ScoreTask,
    Told,
)
from scorer.engine.rank_shares import Rates, cost_of
from scorer.engine.rank_wire import Share, from_message, outcomes_of, to_message
from scorer.engine.team import Exchanging, Team
from scorer.engine.waiting_shares import places_of, taken_by, wait_no_more
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import Lane
from scorer.spec.events import RanksScored


class Rounds:
    """Scores batches in rounds, the first share of each in this process.

    Where rounds are dealt ahead of the one that is gathered, nobody waits for another that is a
    little slower: every rank has its next share before it is through with the last. An exchange
    gathers the outcomes of one round and deals another, while all of them compute.

    Args:
        team: The ranks; this process is rank 0.
        rates: What each of them has shown.
        inner: Scores the share of this process.
        size: How much goes through a model at once.
        lanes: Lanes of this process by key.
        busy_device: Whether a device computes while this process saves.
        ahead: Rounds that are dealt before the oldest one is gathered.
    """

    def __init__(
        self,
        team: Team,
        rates: Rates,
        inner: BatchScorer,
        size: PassSize,
        lanes: Mapping[str, Lane],
        *,
        busy_device: bool = False,
        ahead: int = 1,
    ) -> None:
        self._team = team
        self._rates = rates
        self._inner = inner
        self._size = size
        self._lanes = lanes
        self.at_once = inner.at_once * len(team.names)
        rates.at_once = inner.at_once
        rates.forget_open()
        # Outcomes that are given for one of this process: as many as come meanwhile. To save
        # those of a whole round at once would take longer than a device has work for.
        self._given_at_once = len(team.names) if busy_device else None
        self._most_dealt = 1 + ahead
        self._left: deque[ScoreTask] = deque()
        # Rounds whose outcomes are not all here, in order, and those that are not asked for.
        self._open: deque[_Round] = deque()
        self._unasked: deque[_Round] = deque()
        # Tasks of this process that are not begun.
        self._own: deque[ScoreTask] = deque()
        self._exchanging: deque[tuple[Exchanging, _Round | None]] = deque()
        # Whether the others bring the outcomes of a round to the next exchange.
        self._will_gather = False
        self._ready: deque[Outcome] = deque()
        # Lanes given up: in the order of the grid, and by this process, perhaps ahead of it.
        self._failed: set[str] = set()
        self._failed_here: set[str] = set()
        self._error: BaseException | None = None
        self._lost: RankLost | None = None
        self._last_own = self._last_gathered = 0.0

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        """Score batches; outcomes come in the order of the grid, passes of rank 0 alone.

        Raises:
            Interrupted: The run is to stop.
            RankLost: A rank is gone.
            QfidError: What ended a share, as are the following.
            MemoryError: See there.
            RuntimeError: See there.
            ValueError: See there.
        """
        self._left.extend(tasks)
        self._last_own = self._last_gathered = time.monotonic()
        try:
            self._go_on()
            # Whoever exchanges next, in another thread, may not meet one that is under way.
            while (self._open or self._exchanging) and self._lost is None:
                yield from self._given()
                if self._own:
                    yield from self._scored_here()
                else:
                    self._wait()
                self._go_on()
        except Interrupted:
            # Whoever stops a run does not wait for others.
            yield from self._rest()
            raise
        yield from self._rest()
        error = self._error or self._lost
        if error is not None:
            raise error

    # Dealing and gathering

    def _go_on(self) -> None:
        """Take in what has come, ask for what is complete here, deal what may be dealt."""
        self._lost = self._lost or self._team.lost
        while self._lost is None and self._exchanging and self._exchanging[0][0].is_done():
            self._take_in()
        if self._lost is not None:
            return
        if self._will_gather:
            # One round at a time: this process does not run further ahead than the others may.
            asked = any(gathered is not None for _, gathered in self._exchanging)
            if asked or self._unasked[0].waiting:
                return
            self._note_complete(self._unasked[0])
            self._exchange(self._unasked.popleft())
        while not self._will_gather and (self._left or self._unasked):
            self._exchange(None)

    def _exchange(self, gathered: _Round | None) -> None:
        """Deal a round, where something is left; get what came of another.

        Args:
            gathered: The round whose outcomes the others bring; None where they bring none.
        """
        shares = [] if self._error is not None else self._dealt()
        if shares:
            made = _Round(shares)
            self._open.append(made)
            self._unasked.append(made)
            self._own.extend(shares[0])
        if self._error is not None:
            self._left.clear()
        is_enough = len(self._unasked) >= self._most_dealt or not self._left
        self._will_gather = bool(self._unasked) and is_enough
        told = [Share.of(share, self._size).to_json() for share in shares]
        message = to_message({"shares": told, "gather": self._will_gather})
        self._exchanging.append((self._team.begin(message), gathered))

    def _dealt(self) -> list[list[ScoreTask]]:
        """The shares of the next round; none where nothing is left."""
        while self._left:
            now = time.monotonic()
            shares = [self._alive(share) for share in self._rates.deal(self._left, now)]
            if any(shares):
                self._rates.dealt([sum(map(cost_of, share)) for share in shares], now)
                return shares
        return []

    def _alive(self, tasks: Iterable[ScoreTask]) -> list[ScoreTask]:
        """The tasks without the lanes that were given up meanwhile."""
        gone = self._failed | self._failed_here
        kept = (
            ScoreTask(task.batch, [lane for lane in task.lanes if lane.key not in gone])
            for task in tasks
        )
        return [task for task in kept if task.lanes]

    def _wait(self) -> None:
        """Wait for the oldest exchange under way; nothing is left to be scored here."""
        if self._exchanging and self._lost is None:
            self._take_in()

    def _take_in(self) -> None:
        """Wait for the oldest exchange, and take in what it has brought."""
        exchange, gathered = self._exchanging.popleft()
        try:
            replies = exchange.result()
        except RankLost as lost:
            self._lost = lost
            return
        if gathered is not None:
            self._gather(gathered, replies)

    # In this process

    def _own_tasks(self) -> Iterator[ScoreTask]:
        """The tasks of this process, as far as they are dealt."""
        while self._own and self._error is None and self._lost is None:
            yield from self._alive([self._own.popleft()])

    def _scored_here(self) -> Iterator[Outcome]:
        """Score what this process has of the rounds, those that are dealt meanwhile included.

        Raises:
            Interrupted: The run is to stop.
        """
        try:
            for outcome in self._inner.score(self._own_tasks()):
                if isinstance(outcome, Scored | LaneFailed):
                    self._note_own(outcome)
                else:
                    yield outcome
                self._go_on()
                yield from self._given(self._given_at_once)
        except Interrupted:
            raise
        except (QfidError, MemoryError, RuntimeError, ValueError) as caught:
            # What the others have scored is kept.
            self._error = self._error or caught
        if self._error is not None:
            self._own.clear()
        if not self._own:
            # Nothing more comes of them.
            for each in self._open:
                each.waiting.clear()

    def _note_own(self, outcome: Scored | LaneFailed) -> None:
        """Put an outcome of this process to its round, unless its lane is given up."""
        if isinstance(outcome, LaneFailed):
            self._failed_here.add(outcome.lane.key)
        of = taken_by(outcome, self._open)
        if of is None:
            return
        of.cells[0] += _cells(outcome)
        of.own.append(outcome)
        if of is self._open[0]:
            self._promote(of)

    def _note_complete(self, result: _Round) -> None:
        """Note that a round is scored as far as this process scores it."""
        now = time.monotonic()
        seconds = now - max(self._last_own, result.began)
        self._last_own = now
        self._round_took(seconds)
        cost = 0 if self._error is not None else result.cost(0)
        self._rates.note(0, cost, result.cells[0], seconds)

    # Outcomes

    def _given(self, most: int | None = None) -> Iterator[Outcome]:
        """Outcomes that are ready, or the first of them."""
        for _ in range(len(self._ready) if most is None else min(most, len(self._ready))):
            yield self._ready.popleft()

    def _rest(self) -> Iterator[Outcome]:
        """All outcomes there are, those of this process that wait for others included."""
        while self._open:
            self._promote(self._open.popleft())
        yield from self._given()

    def _promote(self, result: _Round) -> None:
        """Let the outcomes of this process in a round be given: all before them are."""
        self._ready.extend(filter(self._is_kept, result.own))
        result.own.clear()

    def _gather(self, result: _Round, replies: list[bytes]) -> None:
        """Take in what the other ranks made of a round.

        Args:
            result: The round. An error of a rank ends the run, if nothing else has.
            replies: Of each rank.
        """
        now = time.monotonic()
        took = now - max(self._last_gathered, result.began)
        self._last_gathered = now
        for rank, reply in list(enumerate(replies))[1:]:
            outcomes = outcomes_of(reply, result.shares[rank], self._lanes)
            found = list(filter(self._is_kept, outcomes))
            self._ready.extend(found)
            result.cells[rank] = sum(map(_cells, found))
            values, _ = from_message(reply)
            cost = result.cost(rank)
            if values["error"] is not None:
                cost = 0
                self._error = self._error or self._error_of(rank, values["error"])
            self._rates.note(rank, cost, result.cells[rank], values["seconds"])
        self._round_took(took)
        names, cells = list(self._team.names), list(self._rates.cells)
        recent = [self._rates.recent(rank) for rank in range(len(names))]
        recent_cells, seconds = [each for each, _ in recent], [each for _, each in recent]
        said = self._team.gathered - self._rates.gathered_before
        self._ready.append(Told(RanksScored(names, cells, seconds, recent_cells, took, said)))
        assert self._open[0] is result
        self._open.popleft()
        if self._open:
            self._promote(self._open[0])

    def _round_took(self, seconds: float) -> None:
        self._team.round_took(seconds)
        self._rates.round_took(seconds)

    def _is_kept(self, outcome: Outcome) -> bool:
        """Whether an outcome counts: nothing of a lane does after it was given up."""
        if not isinstance(outcome, Scored | LaneFailed):
            return True
        if outcome.lane.key in self._failed:
            return False
        if isinstance(outcome, LaneFailed):
            self._failed.add(outcome.lane.key)
            wait_no_more(outcome.lane.key, self._open)
        return True

    def _error_of(self, rank: int, values: dict[str, Any]) -> BaseException:
        """What ended the share of another rank, as if it had happened here."""
        name = self._team.names[rank]
        if values["error"] == MemoryError.__name__:
            return MemoryError(f"{name}: {values['message']}")
        error = error_of(values)
        if isinstance(error, RankLost):
            return error
        error.message = f"{name}: {error.message}"
        return error


def _cells(outcome: Outcome) -> int:
    """Chunks under settings that an outcome holds."""
    return len(outcome.chunks) if isinstance(outcome, Scored) else 0


class _Round:
    """What comes of a round.

    Args:
        shares: The tasks of each rank.

    Attributes:
        shares: The same.
        waiting: First chunk and lane of what this process has yet to score.
        own: Outcomes of this process that are not given, because they wait for those of an earlier
            round.
        cells: Chunks under settings that each rank has scored.
        began: When it was dealt, in seconds of ``time.monotonic``.
    """

    def __init__(self, shares: list[list[ScoreTask]]) -> None:
        self.shares = shares
        self.waiting = places_of(shares[0])
        self.own: list[Scored | LaneFailed] = []
        self.cells = [0] * len(shares)
        self.began = time.monotonic()

    def cost(self, rank: int) -> int:
        """Forward passes of chunks of a rank's share."""
        return sum(map(cost_of, self.shares[rank]))
