"""How the child ends when it is told to, within two seconds, wherever its main thread is.

A forward pass of a large model takes minutes inside one call into MLX, and Python runs signal
handlers in the main thread, between two of its own steps: they would wait as long. So signals are
read from a pipe by a thread. Asked once to stop, the main thread ends the run at its next tile; if
it does not come to one in time, the thread makes the report from what is saved and ends the
process.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from scorer.common.errors import Interrupted, QfidError
from scorer.spec.events import ChunkScored, Event, Failed, Finished, Planned

INTERRUPTED = Interrupted.exit_code
GRACE = 0.6
"""Seconds the main thread has to reach its next tile after the first interrupt."""


class Ending:
    """Who ends the process: the main thread in order, or a thread that does not wait for it."""

    def __init__(self, say: Callable[[Event], object]) -> None:
        """Listen to nothing yet.

        Args:
            say: Writes an event; safe to call from several threads.
        """
        self._say = say
        self._stopping = threading.Event()
        self._claim = threading.Lock()
        self._claimed_here = False
        self._run = ""
        self._saved = 0

    def listen(self) -> None:
        """Take SIGINT, SIGTERM and SIGHUP from here on; call it in the main thread.

        One SIGINT stops in order, a second at once, as the others do.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # Told to ignore an end from outside (nohup), it stays so; asking to stop always works.
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _read_from_the_pipe)
                signal.siginterrupt(number, False)
        threading.Thread(target=self._serve, args=(reading,), daemon=True).start()

    def _serve(self, reading: int) -> None:
        while number := os.read(reading, 1):
            if number[0] != signal.SIGINT:
                os._exit(128 + number[0])
            if self._stopping.is_set():
                os._exit(INTERRUPTED)
            self._stopping.set()
            threading.Thread(target=self._end_in_time, daemon=True).start()

    def asked(self) -> bool:
        """Whether the main thread has to end the run; it alone may from then on."""
        if not self._stopping.is_set():
            return False
        self.close()
        return True

    def close(self) -> None:
        """The main thread ends the run by itself; where another is about to, it waits for that."""
        if not self._claimed_here:
            if not self._claim.acquire(blocking=False):
                threading.Event().wait()
            self._claimed_here = True

    def note(self, event: Event) -> None:
        """Keep what the last event has to say if the process ends at once."""
        if isinstance(event, Planned):
            self._run, self._saved = event.run, sum(event.done.values())
        elif isinstance(event, ChunkScored):
            self._saved += 1

    def at_once(self, error: QfidError) -> None:
        """End the process with an error, unless the main thread is about to end it."""
        if self._claim.acquire(blocking=False):
            self._end(self._failure(error), error.exit_code)

    def _end_in_time(self) -> None:
        # Woken by nothing: an end in time ends the process.
        threading.Event().wait(GRACE)
        if self._claim.acquire(blocking=False):
            try:
                event: Event = self._partial()
            except Exception as error:
                event = self._failure(Interrupted(f"stopped, but without a report: {error}"))
            self._end(event, INTERRUPTED)

    def _partial(self) -> Event:
        """The report of what is saved, saved itself."""
        from scorer.report.formats.markdown import to_markdown
        from scorer.report.from_run import finished_report
        from scorer.runs.listing import find_run

        run = find_run(self._run) if self._run else None
        stored = {} if run is None else run.read()
        if run is None or not any(stored.values()):
            return self._failure(Interrupted("stopped before the first chunk was scored"))
        report = finished_report(run, stored)
        values = report.to_json()
        run.save_report(values, to_markdown(report), complete=False)
        return Finished(values, complete=False)

    def _failure(self, error: QfidError) -> Failed:
        name, run = type(error).__name__, self._run or None
        return Failed(name, error.message, error.hint, error.exit_code, run, self._saved)

    def _end(self, event: Event, code: int) -> None:
        # A reader that reads no more holds up no end.
        late = threading.Timer(GRACE, os._exit, (code,))
        late.daemon = True
        late.start()
        self._say(event)
        os._exit(code)


def _read_from_the_pipe(*_: Any) -> None:
    """The handler Python calls in the main thread, whenever it gets there: all is done by then."""
