"""Results saved on a thread of their own, while the device works on the next pass.

A chunk is saved with a sync to disk, a millisecond or more, in which a GPU would stand still; what
is said of a chunk is said once it is saved.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from scorer.common.errors import QfidError
from scorer.spec.events import Event

Work = Callable[[], list[Event]]


class Saver:
    """Does pieces of work one after the other, in the order they are given.

    Used as a context: at its end everything given is done, unless a piece failed before.

    Args:
        background: Work on a thread; where False each piece is done at once.
    """

    def __init__(self, *, background: bool) -> None:
        self._pool = ThreadPoolExecutor(1, "qfid-saving") if background else None
        self._open: deque[Future[list[Event]]] = deque()
        self._broken = False

    def give(self, work: Work) -> None:
        """Add a piece of work; it gives the events to send when it is done."""
        if self._pool is not None:
            self._open.append(self._pool.submit(self._do, work))
            return
        done: Future[list[Event]] = Future()
        try:
            done.set_result(self._do(work))
        except BaseException as error:
            done.set_exception(error)
        self._open.append(done)

    def _do(self, work: Work) -> list[Event]:
        if self._broken:
            return []
        try:
            return work()
        except BaseException as error:
            # What comes after a piece that failed would stand behind a gap.
            self._broken = True
            if isinstance(error, MemoryError):
                # Scoring again with less at once would not bring back what is lost here.
                raise QfidError(
                    "memory ran out while chunks were saved",
                    "what was saved before can be resumed; free memory first",
                ) from error
            raise

    def events(self, *, wait: bool = False) -> Iterator[Event]:
        """Events of the work that is done, in order; of all of it where ``wait`` says so.

        Raises:
            Exception: What a piece of work raised.
        """
        while self._open and (wait or self._open[0].done()):
            yield from self._open.popleft().result()

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
