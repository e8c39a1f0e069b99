"""Results saved on a thread of their own, while the device works on the next pass.

A chunk is saved with a sync to disk, a millisecond or more, in which a GPU would stand still. The
event of a chunk is sent once it is saved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from scorer.common.errors import QfidError
from scorer.spec.events import Event

SaveTask = Callable[[], list[Event]]
"""Saves something and gives the events to send once it is saved."""


class Saver:
    """Runs tasks one after the other, in the order they are submitted.

    Used as a context: at its end every task is done, unless one failed before.

    Args:
        background: Run them on a thread; where False each is run when it is submitted.
    """

    def __init__(self, *, background: bool) -> None:
        self._pool = ThreadPoolExecutor(1, "qfid-saving") if background else None
        self._pending: deque[Future[list[Event]]] = deque()
        self._broken = False

    def submit(self, task: SaveTask) -> None:
        """Add a task."""
        if self._pool is not None:
            self._pending.append(self._pool.submit(self._run, task))
            return
        done: Future[list[Event]] = Future()
        try:
            done.set_result(self._run(task))
        except BaseException as error:
            done.set_exception(error)
        self._pending.append(done)

    def _run(self, task: SaveTask) -> list[Event]:
        if self._broken:
            return []
        try:
            return task()
        except BaseException as error:
            # What comes after a task that failed would stand behind a gap.
            self._broken = True
            if isinstance(error, MemoryError):
                # Scoring again with less at once would not bring back what is lost here.
                raise QfidError(
                    "memory ran out while chunks were saved",
                    "what was saved before can be resumed; free memory first",
                ) from error
            raise

    def events(self, *, wait: bool = False) -> Iterator[Event]:
        """Events of the tasks that are done, in order.

        Args:
            wait: Wait for all tasks.

        Raises:
            Exception: What a task raised.
        """
        while self._pending and (wait or self._pending[0].done()):
            yield from self._pending.popleft().result()

    def __enter__(self) -> Saver:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True)
