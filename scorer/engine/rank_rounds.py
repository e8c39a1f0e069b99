"""Rounds of the ranks, as rank 0 deals and gathers them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from scorer.common.error_values import error_of
from scorer.common.errors import Interrupted, QfidError, RankLost
from scorer.engine.outcomes import (
    BatchScorer,
    LaneFailed,
    NoiseNotReached,
    Outcome,
    PassDone,
    Scored,
    ScoreTask,
    Told,
)
from scorer.engine.rank_shares import Rates, cost_of
from scorer.engine.rank_wire import Share, from_message, outcomes_of, to_message
from scorer.engine.team import Team
from scorer.fit.pass_size import PassSize
from scorer.lanes.base import Lane
from scorer.spec.events import RanksScored


class Rounds:
    """Scores batches in rounds, the first share of each in this process.

    An exchange gathers what came of one round and deals the next, so that nobody waits for what
    this process makes of the results.

    Args:
        team: The ranks; this process is rank 0.
        rates: What each of them has shown.
        inner: Scores the share of this process.
        size: How much goes through a model at once.
        lanes: Lanes of this process by key.
        busy_device: Whether a device computes while this process saves.
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
    ) -> None:
        self._team = team
        self._rates = rates
        self._inner = inner
        self._size = size
        self._lanes = lanes
        self._busy_device = busy_device
        self._failed: set[str] = set()
        self.at_once = inner.at_once * len(team.names)
        rates.at_once = inner.at_once

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        """Score batches; outcomes come in the order of the grid, passes of rank 0 alone."""
        left = deque(tasks)
        shares = self._dealt(left)
        if not shares:
            return
        self._exchanged(shares)
        gathered: list[Outcome] = []
        while shares:
            result = _Round(shares)
            try:
                yield from self._own(result, gathered)
            except Interrupted:
                # Whoever stops a run does not wait for others.
                raise
            except (QfidError, MemoryError, RuntimeError, ValueError) as caught:
                # What the others have scored is kept.
                result.error = caught
            gathered = []
            result.seconds = result.elapsed()
            self._team.round_took(result.seconds)
            self._rates.round_took(result.seconds)
            self._rates.note(0, result.cost(0), result.cells[0], result.seconds)
            following = [] if result.error is not None else self._dealt(left)
            self._gather(result, self._exchanged(following), gathered)
            if result.error is not None:
                if following:
                    # The others were at it before the error was known here.
                    following[0] = []
                    self._gather(_Round(following), self._exchanged([]), gathered)
                yield from gathered
                raise result.error
            shares = following
        yield from gathered

    def _dealt(self, left: deque[ScoreTask]) -> list[list[ScoreTask]]:
        """The shares of the next round; none where nothing is left."""
        while left:
            shares = [self._alive(share) for share in self._rates.deal(left)]
            if any(shares):
                return shares
        return []

    def _exchanged(self, shares: Sequence[Sequence[ScoreTask]]) -> list[bytes]:
        """Deal the next round; what came of the one before, by rank."""
        told = [Share.of(share, self._size).to_json() for share in shares]
        return self._team.exchange(to_message({"shares": told}))

    def _alive(self, tasks: Iterable[ScoreTask]) -> list[ScoreTask]:
        """The tasks without the lanes that were given up meanwhile."""
        kept = (
            ScoreTask(task.batch, [lane for lane in task.lanes if lane.key not in self._failed])
            for task in tasks
        )
        return [task for task in kept if task.lanes]

    def _own(self, result: _Round, earlier: list[Outcome]) -> Iterator[Outcome]:
        """Score the share of this process.

        Args:
            result: What comes of the round.
            earlier: Outcomes of the round before, which come first.
        """
        if not self._busy_device:
            yield from _taken(earlier)
        try:
            for outcome in self._inner.score(result.shares[0]):
                # A GPU has something to do before they are saved.
                yield from _taken(earlier)
                if self._is_kept(outcome):
                    result.cells[0] += _cells(outcome)
                    yield outcome
        except (QfidError, MemoryError, RuntimeError, ValueError):
            yield from _taken(earlier)
            raise
        yield from _taken(earlier)

    def _gather(self, result: _Round, replies: Sequence[bytes], into: list[Outcome]) -> None:
        """Take in what the other ranks made of a round.

        Args:
            result: The round. An error of a rank becomes its own, if it has none.
            replies: Of each rank.
            into: Where their outcomes go, in the order of the grid.
        """
        took = result.elapsed()
        seconds = [result.seconds]
        for rank, reply in list(enumerate(replies))[1:]:
            found = list(
                filter(self._is_kept, outcomes_of(reply, result.shares[rank], self._lanes))
            )
            into.extend(found)
            result.cells[rank] = sum(map(_cells, found))
            values, _ = from_message(reply)
            seconds.append(values["seconds"])
            if result.error is None and values["error"] is not None:
                result.error = self._error(rank, values["error"])
        self._team.round_took(took)
        self._rates.round_took(took)
        for rank in range(1, len(replies)):
            cost = result.cost(rank) if result.error is None else 0
            self._rates.note(rank, cost, result.cells[rank], seconds[rank])
        names, all_cells = list(self._team.names), list(self._rates.cells)
        said = self._team.gathered - self._rates.gathered_before
        into.append(Told(RanksScored(names, all_cells, seconds, result.cells, took, said)))

    def _is_kept(self, outcome: Outcome) -> bool:
        """Whether an outcome counts: nothing of a lane does after it was given up."""
        if isinstance(outcome, PassDone | NoiseNotReached | Told):
            return True
        if outcome.lane.key in self._failed:
            return False
        if isinstance(outcome, LaneFailed):
            self._failed.add(outcome.lane.key)
        return True

    def _error(self, rank: int, values: dict[str, Any]) -> BaseException:
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


def _taken(outcomes: list[Outcome]) -> Iterator[Outcome]:
    """Outcomes of a list, which is empty afterwards."""
    found = outcomes[:]
    outcomes.clear()
    yield from found


class _Round:
    """What comes of a round.

    Attributes:
        shares: Of each rank.
        cells: Chunks under settings that each has scored.
        seconds: What the share of this process took.
        error: What ended the share of a rank.
    """

    def __init__(self, shares: list[list[ScoreTask]]) -> None:
        self.shares = shares
        self.cells = [0] * len(shares)
        self.seconds = 0.0
        self.error: BaseException | None = None
        self._began = time.monotonic()

    def cost(self, rank: int) -> int:
        """Forward passes of chunks of a rank; 0 where it did not score all of its share."""
        return 0 if self.error is not None else sum(map(cost_of, self.shares[rank]))

    def elapsed(self) -> float:
        """Seconds since the round began."""
        return time.monotonic() - self._began
