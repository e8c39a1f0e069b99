"""Handles signals in the child process and ends it within two seconds.

A forward pass of a large model can take minutes in one call into MLX. Python runs signal handlers
in the main thread between two bytecode instructions, so they would wait as long. So a thread reads
signals from a pipe. After the first interrupt, the main thread stops the run at its next tile. If
it does not reach one in time, a thread makes the report from the saved results and ends the
process.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from typing import Any

from scorer.common.errors import Interrupted, QfidError
from scorer.common.interrupts import Interrupts
from scorer.spec.events import ChunkScored, Event, Failed, Finished, Planned

INTERRUPTED = Interrupted.exit_code
GRACE = 0.6
"""Seconds that the main thread has to reach its next tile after the first interrupt."""


class Ending:
    """Decides which thread ends the process: the main thread, or another that does not wait."""

    def __init__(self, emit: Callable[[Event], object]) -> None:
        """Create it; :meth:`listen` installs the signal handlers.

        Args:
            emit: Writes an event; thread-safe.
        """
        self._emit = emit
        self._interrupts = Interrupts()
        self._stopping = threading.Event()
        self._claim = threading.Lock()
        self._claimed_here = False
        self._run = ""
        self._saved = 0

    def listen(self) -> None:
        """Handle SIGINT, SIGTERM and SIGHUP from now on; call it in the main thread.

        The first SIGINT stops the run at a tile. Another one, unless it comes within 200 ms of the
        first, or another signal ends the process at once.
        """
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # A signal that is ignored (nohup) stays ignored, except SIGINT.
            if number == signal.SIGINT or signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, _handled_by_thread)
                signal.siginterrupt(number, False)
        threading.Thread(target=self._serve, args=(reading,), daemon=True).start()

    def _serve(self, reading: int) -> None:
        while number := os.read(reading, 1):
            if number[0] != signal.SIGINT:
                os._exit(128 + number[0])
            request = self._interrupts.add()
            if request == "first":
                self._stopping.set()
                threading.Thread(target=self._end_in_time, daemon=True).start()
            elif request == "again":
                os._exit(INTERRUPTED)

    def asked(self) -> bool:
        """Return whether the run has to stop.

        Once the main thread knows, only it may end the process; another thread that scores only
        stops, and the main thread asks when all of them have.
        """
        if not self._stopping.is_set():
            return False
        if threading.current_thread() is threading.main_thread():
            self.close()
        return True

    def close(self) -> None:
        """Let only the main thread end the process; if another thread is doing so, wait for it."""
        if not self._claimed_here:
            if not self._claim.acquire(blocking=False):
                threading.Event().wait()
            self._claimed_here = True

    def note(self, event: Event) -> None:
        """Record run and progress, for the last event if the process ends at once."""
        if isinstance(event, Planned):
            self._run, self._saved = event.run, sum(event.done.values())
        elif isinstance(event, ChunkScored):
            self._saved += 1

    def at_once(self, error: QfidError) -> None:
        """End the process with an error, unless the main thread is ending it."""
        if self._claim.acquire(blocking=False):
            self._end(self._failure(error), error.exit_code)

    def _end_in_time(self) -> None:
        # Nothing sets this event: if the main thread is in time, the process ends during the wait.
        threading.Event().wait(GRACE)
        if self._claim.acquire(blocking=False):
            try:
                event: Event = self._partial()
            except Exception as error:
                event = self._failure(Interrupted(f"stopped, but without a report: {error}"))
            self._end(event, INTERRUPTED)

    def _partial(self) -> Event:
        """Make and save the report of the saved results."""
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
        # If the reader of the events has stopped reading, the write may block for ever.
        timer = threading.Timer(GRACE, os._exit, (code,))
        timer.daemon = True
        timer.start()
        self._emit(event)
        os._exit(code)


def _handled_by_thread(*_: Any) -> None:
    """Do nothing: the thread that reads the pipe has handled the signal."""
