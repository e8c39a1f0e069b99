"""A child process in the app's event loop: its events come in blocks, its end as a value.

A thread of its own reads the child, because reading blocks; it never touches a widget and parses
nothing, because a thread that works holds up every step of the loop for milliseconds. It is a
daemon, so that a child that hangs keeps nothing alive.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qfid_tui.process.scorer_process import ScorerProcess
from scorer.common.child_end import ending, may_lack_memory
from scorer.spec.events import Event, Failed, Finished

# Lines, and their bytes, that may wait to be handled; the child waits when there are more.
_MOST_LINES = 2000
_MOST_BYTES = 32 << 20
_FULL_SECONDS = 0.05
# Lines handled before the loop may do something else: less than a millisecond.
_BLOCK = 20
# A key passes through a dozen turns of the loop. A turn that took much longer than the shortest one
# did something for the user: more may follow, and events wait for it, up to a limit.
_MUCH_LONGER = 3.0
_MOST_TURNS = 24
# Seconds that a child may take to end after its last event.
_PATIENCE = 5.0


@dataclass(frozen=True, slots=True)
class ChildExit:
    """How a child ended.

    Attributes:
        code: Its exit code, negative for a signal.
        killed: It was killed from here.
        log: The last lines of its standard error.
    """

    code: int
    killed: bool
    log: tuple[str, ...]

    @property
    def lacked_memory(self) -> bool:
        """Whether it may have run out of memory: its log says so, or a signal says so."""
        return may_lack_memory(0 if self.killed else self.code, self.log)

    @property
    def words(self) -> str:
        """``was ended by SIGKILL``, ``ended with code 3``."""
        return ending(self.code)


class RunningScorer:
    """One child process and its events.

    Start it in the main thread.
    """

    def __init__(
        self, request: Mapping[str, Any] | None, *, command: Sequence[str] | None = None
    ) -> None:
        """Start the child; see :class:`qfid_tui.process.scorer_process.ScorerProcess`.

        Raises:
            QfidError: It cannot be started.
        """
        self._process = ScorerProcess(request, command=command)
        self._lines: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._woken = False
        self._ending: ChildExit | None = None
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def blocks(self) -> AsyncIterator[list[Event]]:
        """Yield the events in blocks of at most twenty, until the child is gone."""
        idle = IdleLoop()
        while True:
            await self._news.wait()
            self._news.clear()
            self._woken = False
            while self._lines:
                block = self._block()
                if block:
                    yield block
                await idle.wait()
            if self._ending is not None and not self._lines:
                return

    def _block(self) -> list[Event]:
        block = []
        for _ in range(min(_BLOCK, len(self._lines))):
            line = self._lines.popleft()
            self._waiting_bytes -= len(line)
            event = self._process.take(line)
            if event is not None:
                block.append(event)
            if isinstance(event, Finished | Failed):
                self._loop.call_later(_PATIENCE, self._process.kill)
        return block

    @property
    def ending(self) -> ChildExit:
        """How it ended; only after :meth:`blocks` has."""
        assert self._ending is not None
        return self._ending

    def interrupt(self) -> None:
        """Ask the child to stop; it writes a report of what has been scored."""
        self._process.interrupt()

    def kill(self) -> None:
        """Kill the child; its saved run can be resumed."""
        self._process.kill()

    async def gone(self, seconds: float) -> bool:
        """Wait until the child is gone; whether it is, within so many seconds."""
        for _ in range(max(1, round(seconds * 100))):
            if self._ending is not None:
                return True
            await asyncio.sleep(0.01)
        return False

    def _read(self) -> None:
        for line in self._process.lines():
            self._lines.append(line)
            self._waiting_bytes += len(line)
            self._wake()
            while self._is_full and not (self._process.killed or self._loop.is_closed()):
                time.sleep(_FULL_SECONDS)
        code = self._process.close()
        self._ending = ChildExit(code, self._process.killed, tuple(self._process.log))
        self._woken = False
        self._wake()

    @property
    def _is_full(self) -> bool:
        return len(self._lines) >= _MOST_LINES or self._waiting_bytes > _MOST_BYTES

    def _wake(self) -> None:
        # One call for a burst of events: each call is a write to the pipe of the loop.
        if self._woken:
            return
        self._woken = True
        try:
            self._loop.call_soon_threadsafe(self._news.set)
        except RuntimeError:
            # The app is gone; nobody listens.
            self._lines.clear()


class IdleLoop:
    """Waits until the event loop has nothing else to do."""

    def __init__(self) -> None:
        self._shortest = math.inf

    async def wait(self) -> None:
        """Wait until a turn of the loop is an idle one, a few turns at most."""
        for _ in range(_MOST_TURNS):
            start = time.perf_counter()
            await asyncio.sleep(0)
            took = time.perf_counter() - start
            self._shortest = min(self._shortest, took)
            if took <= _MUCH_LONGER * self._shortest:
                return
