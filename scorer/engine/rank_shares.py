"""How the batches of a run are dealt to ranks: in rounds, by the pace that each has shown.

A round is dealt while the one ahead of it is scored, except over NCCL, so a rank waits for another
only where that is a round behind. Shares are such that all ranks are soon done with all they have:
one that is late with its last share gets less of the next. A round is short while no rate is known;
later ones last up to :data:`ROUND_SECONDS`, and a killed run loses two at most. A round is dealt
before the others have said how long the last ones took them: ranks of one machine count as equally
fast until then. Imports no mlx.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from scorer.common.device_kind import DeviceKind
from scorer.engine.outcomes import ScoreTask

ROUND_SECONDS = 5.0
# Twice as many are dealt before anything is known where a round is dealt ahead.
_FIRST_BATCHES = {"cuda": 4}
_FIRST_ELSEWHERE = 1

_GROWTH = 3.0
# A shorter round costs more than it saves.
_SHORTEST_SECONDS = 0.3
# A rest of a round is dealt with it: nothing is left for others to do meanwhile.
_REST = 1.5


def first_batches(device: DeviceKind, *, alike: bool) -> int:
    """Batches of each rank in the rounds that are dealt before a rate is known.

    Args:
        device: What computes; on CUDA a batch takes a tenth of a second, on a CPU many.
        alike: Whether all ranks are of one machine, and about as fast.
    """
    return _FIRST_BATCHES.get(device, _FIRST_ELSEWHERE) if alike else 1


class Rates:
    """What each rank has shown.

    Args:
        ranks: How many there are.
        first: Batches of each while no rate is known.
        alike: Whether one whose rate is not known counts as fast as the others.
        tapered: Whether the last rounds are shorter and shorter: what the others did in the last
            one is saved when nobody scores any more. On a CPU saving takes no time beside scoring.

    Attributes:
        cells: Chunks under settings that each has scored.
        gathered_before: As of :meth:`begin`.
        at_once: Batches that rank 0 scores at once; the others are taken to do the same.
    """

    def __init__(
        self, ranks: int, first: int, *, alike: bool = False, tapered: bool = False
    ) -> None:
        self._rates: list[float | None] = [None] * ranks
        # Cost, cells and seconds of each rank's last round, and of its last two.
        self._last = [(0.0, 0, 0.0)] * ranks
        self._recent = [(0.0, 0, 0.0)] * ranks
        # When each was done with what is noted, as far as is known here, and what it has beside
        # that: when a share was dealt, and its cost.
        self._done = [0.0] * ranks
        self._open: list[deque[tuple[float, float]]] = [deque() for _ in range(ranks)]
        self._first = first
        self._alike = alike
        self._tapered = tapered
        self._seconds = 0.0
        self.cells = [0] * ranks
        self.gathered_before = 0
        self.at_once = 1

    def begin(self, gathered: int) -> None:
        """Note how much the ranks have said to each other before the first round, in bytes."""
        self.gathered_before = gathered

    def note(self, rank: int, cost: float, cells: int, seconds: float) -> None:
        """Note what a rank did in a round, the oldest of its open ones.

        Args:
            rank: Which one.
            cost: Forward passes of chunks that it did, those of the reference included; 0 where
                that is not known.
            cells: Chunks under settings that it scored.
            seconds: What they took.
        """
        self.cells[rank] += cells
        if self._open[rank]:
            dealt, _ = self._open[rank].popleft()
            self._done[rank] = max(self._done[rank], dealt) + seconds
        if cost <= 0 or seconds <= 0:
            return
        # Batches that are scored beside each other may end a round and the next one together.
        last, self._last[rank] = self._last[rank], (cost, cells, seconds)
        self._recent[rank] = (last[0] + cost, last[1] + cells, last[2] + seconds)
        # A first batch compiles and fills caches, and a machine that others use too changes its
        # pace: one slow round is no change.
        before = self._rates[rank]
        rate = self._recent[rank][0] / self._recent[rank][2]
        self._rates[rank] = rate if before is None else (before + rate) / 2

    def recent(self, rank: int) -> tuple[int, float]:
        """What a rank did in its last two rounds: chunks under settings, and their seconds."""
        _, cells, seconds = self._recent[rank]
        return cells, seconds

    def round_took(self, seconds: float) -> None:
        """Note how long a whole round took."""
        self._seconds = max(self._seconds, seconds)

    def deal(self, tasks: deque[ScoreTask], now: float = 0.0) -> list[list[ScoreTask]]:
        """Take the tasks of the next round; what is left stays.

        Args:
            tasks: In the order of the grid.
            now: Seconds by a clock that does not go back.

        Returns:
            A share for each rank, in rank order; together they are in the order of the grid.
        """
        taken = [tasks.popleft() for _ in range(self._count(tasks))]
        rates = self._known()
        return shares(taken, rates, [self._busy(n, rate, now) for n, rate in enumerate(rates)])

    def dealt(self, costs: Sequence[float], now: float) -> None:
        """Note what each rank was given: it is open until :meth:`note`.

        Args:
            costs: Forward passes of chunks.
            now: As of :meth:`deal`.
        """
        for each, cost in zip(self._open, costs, strict=True):
            each.append((now, cost))

    def forget_open(self) -> None:
        """Forget what is open: what ended an earlier score may have left shares that never end."""
        for each in self._open:
            each.clear()

    def _busy(self, rank: int, rate: float, now: float) -> float:
        """Seconds from now in which a rank will be done with its open shares."""
        done = self._done[rank]
        for dealt, cost in self._open[rank]:
            done = max(done, dealt) + cost / rate
        return max(0.0, done - now)

    def _known(self) -> list[float]:
        known = [rate for rate in self._rates if rate is not None]
        usual = sum(known) / len(known) if known else 1.0
        return [usual if rate is None else rate for rate in self._rates]

    def _count(self, tasks: Sequence[ScoreTask]) -> int:
        """How many tasks the next round has."""
        ranks = len(self._rates)
        known = [rate is not None for rate in self._rates]
        if not (any(known) if self._alike else all(known)):
            return min(len(tasks), ranks * self._first * self.at_once)
        seconds = min(ROUND_SECONDS, _GROWTH * self._seconds)
        rate = sum(self._known())
        amount = seconds * rate
        left = sum(map(cost_of, tasks))
        if self._tapered:
            amount = min(amount, max(left / 2, _SHORTEST_SECONDS * rate))
        if left <= _REST * amount:
            return len(tasks)
        count, so_far = 0, 0.0
        while so_far < amount:
            so_far += cost_of(tasks[count])
            count += 1
        # Every rank has something to do.
        return min(len(tasks), max(count, ranks * self.at_once))


def cost_of(task: ScoreTask) -> int:
    """Forward passes of chunks that a task takes."""
    return len(task.batch.chunks) * (len(task.lanes) + 1)


def shares(
    tasks: Sequence[ScoreTask], rates: Sequence[float], busy: Sequence[float] = ()
) -> list[list[ScoreTask]]:
    """Neighbouring tasks for each rank, such that all are done at about the same time.

    Args:
        tasks: In order.
        rates: What each rank does in a second, all above 0.
        busy: Seconds in which each will begin with them; none where all begin at once.
    """
    counts, work = [0] * len(rates), [0.0] * len(rates)
    if busy:
        work = [seconds * rate for seconds, rate in zip(busy, rates, strict=True)]
    for task in tasks:
        cost = cost_of(task)
        # Rank 0 has more to do than to score: of two that are equally soon done, the other.
        soonest = min(
            range(len(rates)), key=lambda rank: ((work[rank] + cost) / rates[rank], -rank)
        )
        work[soonest] += cost
        counts[soonest] += 1
    left = deque(tasks)
    return [[left.popleft() for _ in range(count)] for count in counts]
