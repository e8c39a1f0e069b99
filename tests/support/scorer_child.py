"""The scorer's child process as the app starts it, with every line it writes checked."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import Any

from deadline import DEADLINE

from scorer.spec.events import Event, parse_line
from scorer.spec.job import Job

COMMAND = [sys.executable, "-P", "-m", "scorer"]

# A child that is stuck in a library, as in a long evaluation, on every chunk but the first.
STUCK = """
from scorer.device.blas import preload_blas
preload_blas()
from scorer.lm.mlx_lm_import import import_mlx_lm
import_mlx_lm(light=True)
import ctypes, scorer.engine.cells, scorer.engine.loop
plain = scorer.engine.loop.Loop._batch

def batch(self, state, lanes):
    if state.batch.chunks[0]:
        ctypes.CDLL(None).sleep(1000)
    yield from plain(self, state, lanes)

scorer.engine.loop.Loop._batch = batch
"""


class Child:
    """One ``python -P -m scorer``; its input stays open until it is closed."""

    def __init__(self, *arguments: str, **environ: str) -> None:
        self._errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=os.environ | environ,
        )
        self._timer = threading.Timer(DEADLINE, self.process.kill)
        self._timer.daemon = True
        self._timer.start()

    def send(self, request: Job | dict[str, Any] | bytes, **more: Any) -> Child:
        """Write the request's line."""
        if isinstance(request, Job):
            request = request.to_json() | more
        line = request if isinstance(request, bytes) else json.dumps(request).encode()
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")
        self.process.stdin.flush()
        return self

    def event(self) -> Event | None:
        """The next event; None where the child has closed its end.

        Everything on its standard output is an event: whatever else is a failure.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            return None
        event = parse_line(line)
        assert event is not None, line
        return event

    def until(self, kind: str) -> list[Event]:
        """The events up to the first of a kind."""
        events: list[Event] = []
        while not events or events[-1].kind != kind:
            event = self.event()
            assert event is not None, (kind, events[-1:], self.errors())
            events.append(event)
        return events

    def rest(self) -> list[Event]:
        """The events up to the end of the stream."""
        return list(iter(self.event, None))

    def end_input(self) -> None:
        """Close the child's input, as the death of its parent does."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def code(self) -> int:
        """The exit code, once the child has ended by itself."""
        code = self.process.wait(DEADLINE)
        assert self._timer.is_alive(), "the child hung and was killed"
        return code

    def errors(self) -> str:
        """What the child has written to standard error."""
        self._errors.seek(0)
        return self._errors.read().decode()

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._timer.cancel()
        self.process.kill()
        self.process.wait()
        self.end_input()
        assert self.process.stdout is not None
        self.process.stdout.close()
        self._errors.close()


def scored_by_child(
    request: Job | dict[str, Any] | bytes, **environ: str
) -> tuple[list[Event], int, str]:
    """Events, exit code and standard error of a child that ends by itself."""
    with Child(**environ) as child:
        events = child.send(request).rest()
        return events, child.code(), child.errors()
