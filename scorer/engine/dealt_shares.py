"""The shares that rank 0 deals to another rank: how they come in, and how their outcomes go out.

A thread exchanges while the main thread scores. The next share is there, as a rule, before the last
one is done: tasks go on from the one to the other without a break.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from scorer.device.ranks import RankGroup
from scorer.engine.outcomes import LaneFailed, Scored, ScoreTask
from scorer.engine.rank_wire import Share, failure_values, from_message, outcomes_message
from scorer.engine.waiting_shares import Place, places_of, taken_by


@dataclass(frozen=True, slots=True)
class _Ended:
    """No more shares come.

    Attributes:
        error: What ended the exchanges; None where rank 0 did.
    """

    error: BaseException | None


class DealtShares:
    """What rank 0 deals, taken in by a thread.

    Args:
        group: The ranks; no other thread may exchange from now on.
    """

    def __init__(self, group: RankGroup) -> None:
        self._group = group
        self._dealt: SimpleQueue[Share | _Ended] = SimpleQueue()
        self._replies: SimpleQueue[bytes] = SimpleQueue()
        self._end: _Ended | None = None
        self._held: Share | None = None
        threading.Thread(target=self._run, name="qfid-exchanges", daemon=True).start()

    def next(self, *, wait: bool = True) -> Share | None:
        """The next share; None where no more come, or where none is here yet.

        Args:
            wait: Wait for one.

        Raises:
            LinkLost: Another rank is gone.
        """
        if self._held is not None:
            held, self._held = self._held, None
            return held
        if self._end is None:
            try:
                found = self._dealt.get(block=wait)
            except Empty:
                return None
            if isinstance(found, Share):
                return found
            self._end = found
        if self._end.error is not None and wait:
            raise self._end.error
        return None

    def hold(self, share: Share) -> None:
        """Let :meth:`next` give a share that it gave before."""
        self._held = share

    def reply(self, message: bytes) -> None:
        """Give the outcomes of the oldest share that has none yet."""
        self._replies.put(message)

    def round_took(self, seconds: float) -> None:
        """Note a round: waits are measured by the longest."""
        self._group.watch.round_took(seconds)

    def _run(self) -> None:
        reply = b""
        try:
            while True:
                command, _ = from_message(self._group.exchange(reply)[0])
                if "shares" not in command:
                    break
                if command["shares"]:
                    self._dealt.put(Share.from_json(command["shares"][self._group.rank]))
                reply = self._replies.get() if command["gather"] else b""
        except BaseException as error:
            self._dealt.put(_Ended(error))
        else:
            self._dealt.put(_Ended(None))


@dataclass(slots=True)
class _OwnShare:
    """A share that is being scored.

    Attributes:
        tasks: Its tasks.
        waiting: First chunk and lane of what is to be scored.
        began: When it came, in seconds of ``time.monotonic``.
        outcomes: What has come of it.
    """

    tasks: list[ScoreTask]
    waiting: set[Place]
    began: float = field(default_factory=time.monotonic)
    outcomes: list[Scored | LaneFailed] = field(default_factory=list)


class OwnShares:
    """The shares that are scored without a break, from one on.

    Args:
        first: The first of them.
        dealt: Where the following come from, and where outcomes go.
        task: Makes a task of chunks and keys of lanes.
    """

    def __init__(
        self,
        first: Share,
        dealt: DealtShares,
        task: Callable[[tuple[int, ...], tuple[str, ...]], ScoreTask],
    ) -> None:
        self._dealt = dealt
        self._task = task
        self._size = first.size
        self._open: deque[_OwnShare] = deque()
        self._failed: set[str] = set()
        self._last = 0.0
        self._first = first

    def tasks(self) -> Iterator[ScoreTask]:
        """Tasks of one share after the other, as long as the next one is here."""
        share: Share | None = self._first
        while share is not None:
            tasks = [self._task(*each) for each in share.tasks]
            waiting = {place for place in places_of(tasks) if place[1] not in self._failed}
            self._open.append(_OwnShare(tasks, waiting))
            self._say()
            yield from tasks
            share = self._dealt.next(wait=False)
            if share is not None and share.size != self._size:
                # Less goes through the model at once from now on.
                self._dealt.hold(share)
                return

    def note(self, outcome: Scored | LaneFailed) -> None:
        """Take in an outcome; tell rank 0 once its share is complete."""
        if isinstance(outcome, LaneFailed):
            self._failed.add(outcome.lane.key)
        share = taken_by(outcome, self._open)
        if share is not None:
            share.outcomes.append(outcome)
        self._say()

    def end(self, error: Exception | None) -> None:
        """Tell rank 0 what there is of shares that are not complete.

        Args:
            error: What ended them; None where nothing more comes of them.
        """
        for each in self._open:
            each.waiting.clear()
        self._say(None if error is None else failure_values(error))

    def _say(self, error: dict[str, Any] | None = None) -> None:
        while self._open and not self._open[0].waiting:
            done = self._open.popleft()
            now = time.monotonic()
            seconds = now - max(self._last, done.began)
            self._last = now
            self._dealt.round_took(seconds)
            message = outcomes_message(done.outcomes, done.tasks, seconds=seconds, error=error)
            self._dealt.reply(message)
            # It ended the first of them.
            error = None
