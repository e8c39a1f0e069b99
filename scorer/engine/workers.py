"""Batches scored by several threads at once, over the same weights.

Each worker scores batches of its own, the reference and all settings of them, so that a number
does not depend on how many workers there are. Outcomes are given in the order of the batches.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from queue import SimpleQueue

from scorer.common.errors import Interrupted
from scorer.device.streams import lent_cpu_stream
from scorer.device.threads import Busy
from scorer.engine.outcomes import BatchScorer, LaneFailed, Outcome, PassDone, Scored, ScoreTask
from scorer.lm.patches import patched

# Batches that are handed out, or scored behind one that is not, for each worker.
_AHEAD = 2

Stop = Callable[[], bool]
"""Whether scoring has to end."""


@dataclass(frozen=True, slots=True)
class Worker:
    """What one thread scores with.

    Attributes:
        scorer: Makes what scores batches in that thread.
        usable: Whether the thread can score, asked in that thread. An error means no.
        release: Lets go what belongs to the worker, after its thread has ended.
    """

    scorer: Callable[[Stop], BatchScorer]
    usable: Callable[[], bool]
    release: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Ready:
    """A worker has started, and can score or not."""

    usable: bool


@dataclass(frozen=True, slots=True)
class _Given:
    """An outcome of a batch, by the batch's number."""

    batch: int
    outcome: Outcome


@dataclass(frozen=True, slots=True)
class _BatchDone:
    """A batch is scored."""

    batch: int


@dataclass(frozen=True, slots=True)
class _Ended:
    """A worker has ended, with an error or because there is nothing left."""

    error: BaseException | None


_Message = _Ready | _Given | _BatchDone | _Ended


class Workers:
    """Scores batches with several threads; see :class:`scorer.engine.outcomes.BatchScorer`.

    The threads live from the first batch to the last, or until the iterator is closed. Batches can
    be scored again after that, by other threads.

    Args:
        make: Makes what each thread scores with.
        count: How many that are.
        stop: Asked often, by one thread at a time; True ends all of them.
        alone: What scores in the calling thread, where no worker can.

    Attributes:
        at_once: How many workers there are.
    """

    def __init__(
        self, make: Callable[[], Sequence[Worker]], count: int, stop: Stop, alone: BatchScorer
    ) -> None:
        self.at_once = count
        self._make = make
        self._stop = stop
        self._alone = alone
        self._asking = threading.Lock()
        self._failing = threading.Lock()
        self._begin()

    def _begin(self) -> None:
        """Know nothing of what was scored before."""
        self._workers: Sequence[Worker] = ()
        self._threads: list[threading.Thread] = []
        self._tasks: SimpleQueue[tuple[int, ScoreTask] | None] = SimpleQueue()
        self._messages: SimpleQueue[_Message] = SimpleQueue()
        self._ending = threading.Event()
        # By key of a lane, the first batch it failed on.
        self._failed: dict[str, int] = {}

    def score(self, tasks: Iterable[ScoreTask]) -> Iterator[Outcome]:
        """Score batches.

        Raises:
            Interrupted: ``stop`` said so. What was scored completely is given before.
            BaseException: What ended the first worker that could not go on.
        """
        self._begin()
        try:
            with patched():
                usable = self._start()
                yield from self._scored(iter(tasks), usable) if usable else ()
        finally:
            self._end()
        if not usable:
            yield from self._alone.score(tasks)

    def _start(self) -> int:
        """Start all threads; return how many of them can score."""
        self._workers = self._make()
        for worker in self._workers:
            thread = threading.Thread(
                target=self._work, args=(worker,), name="qfid-worker", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:
                # The system allows no more; those that started go on.
                break
            self._threads.append(thread)
        # A thread that can score waits for a batch and says no more until then.
        ready = [self._messages.get() for _ in self._threads]
        return sum(isinstance(message, _Ready) and message.usable for message in ready)

    def _end(self) -> None:
        """End all threads at their next step, and wait for them."""
        self._ending.set()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()
        for worker in self._workers:
            worker.release()

    # In the calling thread

    def _scored(self, tasks: Iterator[ScoreTask], threads: int) -> Iterator[Outcome]:
        order = _Order()
        left, handed_out, more = threads, 0, True
        errors: list[BaseException] = []
        while left:
            while more and handed_out < order.complete + _AHEAD * threads:
                task = None if self._ending.is_set() else next(tasks, None)
                if task is not None:
                    self._tasks.put((handed_out, task))
                    handed_out += 1
                    continue
                more = False
                for _ in range(threads):
                    self._tasks.put(None)
            message = self._messages.get()
            if isinstance(message, _Given):
                yield from order.given(message.batch, message.outcome)
            elif isinstance(message, _BatchDone):
                yield from order.done(message.batch)
            elif isinstance(message, _Ended):
                left -= 1
                if message.error is not None:
                    errors.append(message.error)
                    more = True
        yield from order.rest()
        errors.sort(key=lambda error: isinstance(error, Interrupted))
        if errors:
            if isinstance(errors[0], Interrupted):
                # Who asks in this thread may have to know that the run ends.
                self._stop()
            raise errors[0]

    # In the workers' threads

    def _work(self, worker: Worker) -> None:
        error: BaseException | None = None
        usable, busy = False, Busy()
        try:
            with lent_cpu_stream():
                usable = worker.usable()
                if usable:
                    self._messages.put(_Ready(usable=True))
                    self._score(worker, busy)
        except BaseException as raised:
            if usable:
                error = raised
                self._ending.set()
        finally:
            busy.set(False)
            self._messages.put(_Ended(error) if usable else _Ready(usable=False))

    def _score(self, worker: Worker, busy: Busy) -> None:
        batch = -1

        def own() -> Iterator[ScoreTask]:
            nonlocal batch
            while (handed_out := self._tasks.get()) is not None and not self._ending.is_set():
                batch, task = handed_out
                lanes = [lane for lane in task.lanes if self._failed.get(lane.key, batch) >= batch]
                busy.set(True)
                if lanes:
                    yield ScoreTask(task.batch, lanes)
                busy.set(False)
                self._messages.put(_BatchDone(batch))

        for outcome in worker.scorer(self._is_stopped).score(own()):
            if isinstance(outcome, LaneFailed):
                self._note_failure(outcome.lane.key, batch)
            elif isinstance(outcome, Scored):
                # The seconds of all batches add up to those that pass.
                outcome = replace(outcome, seconds=outcome.seconds / Busy.count())
            self._messages.put(_Given(batch, outcome))

    def _note_failure(self, key: str, batch: int) -> None:
        with self._failing:
            self._failed[key] = min(batch, self._failed.get(key, batch))

    def _is_stopped(self) -> bool:
        if self._ending.is_set():
            return True
        with self._asking:
            return self._stop()


class _Order:
    """Gives outcomes in the order of the batches, and nothing of a lane after it failed.

    Attributes:
        complete: All batches before this one are scored.
    """

    def __init__(self) -> None:
        self.complete = 0
        self._done: set[int] = set()
        self._waiting: defaultdict[int, list[Outcome]] = defaultdict(list)
        self._failed: set[str] = set()

    def given(self, batch: int, outcome: Outcome) -> Iterator[Outcome]:
        """Take an outcome; give it, unless it has to wait."""
        if isinstance(outcome, PassDone):
            yield outcome
        elif batch == self.complete:
            yield from self._unless_failed(outcome)
        else:
            self._waiting[batch].append(outcome)

    def done(self, batch: int) -> Iterator[Outcome]:
        """Note that a batch is scored; give what waited for it."""
        self._done.add(batch)
        while self.complete in self._done:
            self._done.remove(self.complete)
            self.complete += 1
            for outcome in self._waiting.pop(self.complete, ()):
                yield from self._unless_failed(outcome)

    def rest(self) -> Iterator[Outcome]:
        """Give what still waits for a batch that is not scored completely."""
        for batch in sorted(self._waiting):
            for outcome in self._waiting[batch]:
                yield from self._unless_failed(outcome)
        self._waiting.clear()

    def _unless_failed(self, outcome: Outcome) -> Iterator[Outcome]:
        if isinstance(outcome, Scored | LaneFailed):
            if outcome.lane.key in self._failed:
                return
            if isinstance(outcome, LaneFailed):
                self._failed.add(outcome.lane.key)
        yield outcome
