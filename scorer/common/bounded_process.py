"""A process that works on foreign files and gives one answer, bounded in time and memory.

Libraries that read foreign files are written in Rust and C. A call into one of them can hold the
interpreter as long as the file wants, and take memory until the machine swaps. Meanwhile Python
runs no signal handler, no timer and no other thread, so the bound has to come from outside. In a
process of its own such a call can be ended whatever it does, and the interpreter that waits stays
free for keys and signals. That holds for the app, the command line and a program that calls
``measure_kv_fidelity`` alike.

A request is one line of JSON. The answer is lines of JSON: any number of steps
(``{"step": …}``), and last the head of the answer, with ``bytes``, how many bytes follow it; or
``error``, see :mod:`scorer.common.error_values`.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import IO, Any, Self

from scorer.common.error_values import error_of
from scorer.common.errors import InputError, QfidError, WillNotFit
from scorer.common.out_of_memory import says_out_of_memory
from scorer.common.process_limits import limit_reached
from scorer.common.python_command import python_command

Asked = Callable[[], QfidError | None]
"""Asked ten times a second while an answer is awaited: the error to end with, or None."""

_STEP_SECONDS = 0.1
# A process that was suspended, and its machine, count one step.
_LONGEST_STEP = 1.0
_START_SECONDS = 1.0
_BLOCK = 1 << 20
_LONGEST_LOG_LINE = 64 << 10
_LOG_SECONDS = 1.0


def nobody() -> None:
    """The ``asked`` of what nobody ends."""


class BoundedProcess:
    """A child process with one answer. It ends with the context, whatever it is doing."""

    def __init__(self, *arguments: str) -> None:
        """Start ``python -m scorer`` with ``arguments``; it imports until it is asked.

        Raises:
            QfidError: It cannot be started.
        """
        self._says_short = False
        self._received = bytearray()
        self._head: dict[str, Any] | None = None
        self._step = "the work"
        self._hint = ""
        self._seconds = self._waited = 0.0
        self._memory = self._most = 0
        # When it was first heard of, by the clock of `time.monotonic`.
        self._begun: float | None = None
        try:
            # In the process group of the caller: whoever ends that ends this process too.
            self._process = subprocess.Popen(
                python_command("scorer", *arguments),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            raise limit_reached(error) or QfidError(
                f"a process that reads foreign files cannot be started: {error.strerror or error}"
            ) from error
        stdout, stderr = self._process.stdout, self._process.stderr
        assert stdout is not None and stderr is not None
        self._stdout = stdout
        os.set_blocking(stdout.fileno(), False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(stdout, selectors.EVENT_READ)
        self._drain = threading.Thread(target=self._read_log, args=(stderr,), daemon=True)
        try:
            self._drain.start()
        except RuntimeError:
            self._process.kill()
            self._process.wait()
            raise

    def ask(
        self,
        request: Mapping[str, Any],
        step: str,
        *,
        seconds: float,
        memory: int,
        most: int,
        hint: str,
    ) -> None:
        """Send the request.

        Args:
            request: JSON values.
            step: What the process begins with, as messages say it: "reading `t.txt`".
            seconds: How long the answer may be waited for. Time in which nobody waits, or in which
                this process is suspended, does not count.
            memory: Bytes that it may take beyond its imports; only Linux holds it to that.
            most: Bytes that the answer may have.
            hint: Hint of the errors for an answer that does not come.
        """
        self._step, self._hint = step, hint
        self._seconds, self._memory, self._most = seconds, memory, most
        line = json.dumps({**request, "memory": memory, "seconds": seconds}).encode() + b"\n"
        assert self._process.stdin is not None
        # Where it has ended there is no answer, which shows later.
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(line)
            self._process.stdin.flush()

    def wait(self, seconds: float | None, asked: Asked = nobody) -> bool:
        """Wait until the answer is there, or for so many seconds.

        Args:
            seconds: None for as long as the answer may take. A process that still imports gets
                up to a second more.
            asked: Ends the wait.

        Returns:
            Whether it is there.

        Raises:
            QfidError: What ``asked`` returned.
            InputError: It took too long, or the process ended without an answer.
            WillNotFit: It takes too much memory.
        """
        asked_at = time.monotonic()
        while not self._is_complete():
            if (error := asked()) is not None:
                raise error
            before = time.monotonic()
            if seconds is not None:
                begun = max(asked_at, self._begun or asked_at + _START_SECONDS)
                if before > begun + seconds:
                    return False
            if self._selector.select(_STEP_SECONDS):
                self._receive()
            elif self._waited > self._seconds:
                raise InputError(f"{self._step} took more than {self._seconds:.0f} s", self._hint)
            self._waited += min(time.monotonic() - before, _LONGEST_STEP)
        return True

    def answer(self, asked: Asked = nobody) -> tuple[dict[str, Any], bytes]:
        """Wait for the answer; see :meth:`wait`.

        Returns:
            Its head, and the bytes that follow.

        Raises:
            QfidError: As of :meth:`wait`, or the error that is the answer.
        """
        self.wait(None, asked)
        head = self._head
        assert head is not None
        if "error" in head:
            error = error_of(head)
            if trace := head.get("traceback"):
                print(trace, file=sys.stderr)
            if isinstance(error, WillNotFit) and not error.message:
                raise self._too_much_memory()
            raise error
        return head, bytes(self._received)

    def _is_complete(self) -> bool:
        return self._head is not None and len(self._received) >= int(self._head.get("bytes", 0))

    def _receive(self) -> None:
        """Take what has come.

        Raises:
            QfidError: It is no answer.
        """
        block = os.read(self._stdout.fileno(), _BLOCK)
        if not block:
            raise self._ended()
        self._begun = self._begun or time.monotonic()
        self._received += block
        if len(self._received) > self._most:
            raise InputError(f"{self._step} gives more than {self._most >> 20} MiB", self._hint)
        while self._head is None and (end := self._received.find(b"\n")) >= 0:
            line = bytes(self._received[:end])
            del self._received[: end + 1]
            try:
                found = json.loads(line)
                if "step" in found:
                    self._step = str(found["step"])
                else:
                    self._head = found
            except (ValueError, TypeError, RecursionError):
                raise InputError(f"{self._step} gave no answer", self._hint) from None

    def _ended(self) -> QfidError:
        code = self._process.wait()
        self._drain.join(_LOG_SECONDS)
        if self._says_short:
            return self._too_much_memory()
        ending = f"with code {code}"
        if code < 0:
            with contextlib.suppress(ValueError):
                ending = f"by {signal.Signals(-code).name}"
        return InputError(f"{self._step} ended its process {ending}", self._hint)

    def _too_much_memory(self) -> WillNotFit:
        gib = self._memory / (1 << 30)
        return WillNotFit(f"{self._step} takes more than {gib:.3g} GiB of memory", self._hint)

    def _read_log(self, stderr: IO[bytes]) -> None:
        """Take what libraries say; only that memory ran out is of use."""
        with contextlib.suppress(OSError, ValueError), stderr:
            while piece := stderr.readline(_LONGEST_LOG_LINE):
                self._says_short |= says_out_of_memory(piece.decode("utf-8", "replace"))

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._selector.close()
        self._drain.join(_LOG_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
