"""The child process that scores: start, events, interrupt, end.

The command line and the app use the same child, ``python -m scorer``. An abort inside a GPU library
ends the child, not the session.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shlex
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any

from qfid_tui.process.child_output import LONGEST_LINE, LineTooLong, lines_of
from qfid_tui.process.scorer_fault import scorer_fault
from scorer.common.errors import InputError, QfidError, WillNotFit
from scorer.common.process_limits import limit_reached
from scorer.common.python_command import python_command
from scorer.device.host_memory import host_memory
from scorer.spec.events import (
    ChunkScored,
    Event,
    Failed,
    Finished,
    Planned,
    kind_of,
    parse_line,
)

if TYPE_CHECKING:
    from qfid_tui.process.recording import Recorder

COMMAND: tuple[str, ...] = python_command("scorer")

# The events without which a run cannot be shown.
_NEEDED = frozenset((Planned.kind, Finished.kind, Failed.kind))
_LOG_LINES = 20
_LOG_WIDTH = 400
_TIMEOUT_SECONDS = 5.0
_LOG_SECONDS = 1.0
# With the time that noticing takes, two seconds.
_INTERRUPT_SECONDS = 1.5
# Of a scorer that says it has failed; any other is that of an internal error.
_FAILED_CODES = frozenset({1, 2, 3, 4, 130})


def scorer_command() -> tuple[str, ...]:
    """Return the command of the scorer: ``QFID_SCORER`` split as by a shell, else ``COMMAND``.

    Raises:
        InputError: ``QFID_SCORER`` cannot be split.
    """
    chosen = os.environ.get("QFID_SCORER")
    if not chosen:
        return COMMAND
    try:
        words = tuple(shlex.split(chosen))
    except ValueError as error:
        raise InputError(f"QFID_SCORER is not a command: {error}", "unset it to score") from error
    return words or COMMAND


class ScorerProcess:
    """A child process and its events.

    Create it in the main thread: on Linux the kernel kills the child when the *thread* that created
    it ends. Another thread may read ``events``.

    Attributes:
        killed: Whether :meth:`kill` ended the child, also from :meth:`interrupt`.
    """

    def __init__(
        self, request: Mapping[str, Any] | None, *, command: Sequence[str] | None = None
    ) -> None:
        """Start the child and write the request to its input.

        Args:
            request: A job's JSON values, with ``run`` and ``accept_changes`` to continue a run;
                None if the command needs none.
            command: The command; None for :func:`scorer_command`.

        Raises:
            QfidError: The process cannot be started, or the recording that ``QFID_RECORD``
                names cannot be written.
            RuntimeError: This is not the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            raise RuntimeError("the scorer must be started from the main thread")
        self.killed = False
        self._has_emitted = False
        self._ended = self._is_gone = False
        self._run: str | None = None
        self._has_scored = False
        self._deadline: float | None = None
        self._shortage = ""
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        words = list(command or scorer_command())
        self._recorder = None if request is None else _recorder(request)
        try:
            self._process = _start(words)
        except QfidError:
            self._stop_recording()
            raise
        self._drain = threading.Thread(target=self._read_log, daemon=True)
        try:
            _start_without_signals(self._drain)
        except RuntimeError as error:
            self._process.kill()
            self._process.wait()
            self._stop_recording()
            raise not_started("the scorer", error) from error
        if request is not None:
            # If the child has exited, it has no events, which shows later.
            with contextlib.suppress(BrokenPipeError):
                self._stdin.write(json.dumps(dict(request)).encode() + b"\n")
                self._stdin.flush()

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def events(self) -> Iterator[Event]:
        """Yield the events as they arrive; other lines are skipped.

        Ends after Finished or Failed, or when the child closes its output.
        """
        for line in self.lines():
            event = self.take(line)
            if event is not None:
                yield event
            if self._ended:
                return

    def lines(self) -> Iterator[bytes]:
        """Yield the output lines of the child as they arrive, until it closes its output."""
        stdout = self._process.stdout
        assert stdout is not None
        try:
            for line in lines_of(stdout.fileno(), self._has_ended):
                self._record(line)
                yield line
            if self._shortage:
                yield self._shortage.encode()
        except LineTooLong:
            self._signal_group(signal.SIGKILL)
            fault = self._fault(f"sent a line of more than {LONGEST_LINE >> 20} MiB")
            yield fault.to_line().encode()

    def take(self, line: bytes) -> Event | None:
        """Parse a line; return its event, or None. Call it with all :meth:`lines`, in order.

        Without its plan or its last event a run cannot be shown: where one of them is damaged, the
        run has failed. Other lines that are no event are skipped.
        """
        event = parse_line(line)
        if event is None and (kind := kind_of(line)) in _NEEDED:
            event = self._fault(f"sent a damaged `{kind}`")
        if isinstance(event, Failed) and event.exit_code not in _FAILED_CODES:
            event = dataclasses.replace(event, exit_code=1)
        if event is not None:
            self._has_emitted = True
            self._ended = isinstance(event, Finished | Failed)
        if isinstance(event, Planned):
            self._run = event.run
            self._has_scored = any(event.done.values())
        elif isinstance(event, ChunkScored):
            self._has_scored = True
        return event

    def _fault(self, what: str) -> Failed:
        return scorer_fault(f"the scorer {what}", self._run)

    def interrupt(self) -> None:
        """Ask the child to stop in order, with a report of what is scored.

        Before its first event it does not listen yet, and there is nothing to report: it is
        killed then.
        """
        if not self._has_emitted:
            self.kill()
            return
        self._process.send_signal(signal.SIGINT)
        if self._deadline is None:
            self._deadline = time.monotonic() + _INTERRUPT_SECONDS

    def _has_ended(self) -> bool:
        """Whether the child has ended; end one that cannot do so itself.

        Before the first chunk a child reads the model's files. A call into a library can hold its
        interpreter, so that neither its signals nor its own watch over the memory are served.
        """
        if self._poll() is not None:
            return True
        if not self._has_scored and not self._ended:
            if self._deadline is not None and time.monotonic() > self._deadline:
                self.kill()
            elif self._run is None and (shortage := _memory_shortage()):
                self._shortage = shortage
                self._signal_group(signal.SIGKILL)
        return False

    def pause(self) -> None:
        """Suspend the child, and what it has started, until :meth:`proceed`."""
        self._signal_group(signal.SIGSTOP)

    def proceed(self) -> None:
        """Continue a suspended child."""
        self._signal_group(signal.SIGCONT)

    def kill(self) -> None:
        """Kill the child and what it has started; a run that it has saved can be resumed."""
        self.killed = True
        self._signal_group(signal.SIGKILL)

    def _signal_group(self, number: signal.Signals) -> None:
        """Send a signal to the child and to the processes that it has started."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _poll(self) -> int | None:
        """The child's exit code; None while it runs. What it has started ends with it."""
        code = self._process.poll()
        if code is not None and not self._is_gone:
            self._is_gone = True
            # The number of the group is not given to another as long as it has a member.
            self._signal_group(signal.SIGKILL)
        return code

    def close(self) -> int:
        """Wait for the child to end, kill it after a timeout, and return its exit code.

        The code is negative for a signal, as :attr:`subprocess.Popen.returncode`.
        """
        code = self._poll()
        if code is None and self._ended:
            code = self._wait()
        if code is None:
            # The child ends when its input is closed.
            with contextlib.suppress(OSError):
                self._stdin.close()
            code = self._wait()
        if code is None:
            self._signal_group(signal.SIGKILL)
            code = self._process.wait()
        self._poll()
        # A process started by the child may keep the log open after the child has ended.
        self._drain.join(_LOG_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        if self._recorder is not None:
            with contextlib.suppress(OSError):
                self._recorder.end(code)
            self._stop_recording()
        return code

    def _record(self, line: bytes) -> None:
        if self._recorder is not None:
            try:
                self._recorder.line(line)
            except OSError as error:
                self._stop_recording()
                self._log.append(f"the recording stops here: {error.strerror}")

    def _stop_recording(self) -> None:
        if self._recorder is not None:
            self._recorder.close()
            self._recorder = None

    def _wait(self) -> int | None:
        try:
            return self._process.wait(_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def __enter__(self) -> ScorerProcess:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None and self._poll() is None:
            self._signal_group(signal.SIGKILL)
        self.close()

    @property
    def log(self) -> list[str]:
        """The last non-empty lines of the child's standard error."""
        return list(self._log)

    def _read_log(self) -> None:
        stderr = self._process.stderr
        assert stderr is not None
        with contextlib.suppress(OSError, ValueError), stderr:
            while piece := stderr.readline(64 << 10):
                # Progress bars rewrite their line: keep the text after the last carriage return.
                text = piece.decode("utf-8", "replace").rstrip().rpartition("\r")[2].strip()
                if text:
                    self._log.append(text[:_LOG_WIDTH])


def _memory_shortage() -> str:
    """The last event of a child that takes the rest of the memory; "" as long as there is some."""
    if not host_memory().is_all_but_gone:
        return ""
    return Failed(
        WillNotFit.__name__,
        "memory ran short before anything was scored: the scorer was ended before the machine "
        "swaps",
        "another text, or fewer files of the model's own, take less",
        WillNotFit.exit_code,
    ).to_line()


def _recorder(request: Mapping[str, Any]) -> Recorder | None:
    path = os.environ.get("QFID_RECORD")
    if not path:
        return None
    from qfid_tui.process.recording import Recorder

    return Recorder(path, request)


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # A process group of its own, so that Ctrl-C reaches it only through `interrupt`.
            process_group=0,
        )
    except OSError as error:
        raise not_started("the scorer", error) from error


def not_started(what: str, error: OSError | RuntimeError) -> QfidError:
    """Return the error for a child process, or a thread that reads it, that does not start."""
    limit = limit_reached(error)
    if limit is not None:
        return QfidError(f"{what} cannot be started: {limit.message}", limit.hint)
    cause = error.strerror if isinstance(error, OSError) else None
    return QfidError(
        f"{what} cannot be started: {cause or error}",
        "the Python that runs qfid is gone or memory is short",
    )


def _start_without_signals(thread: threading.Thread) -> None:
    """Start a thread in which all signals are blocked.

    A signal delivered to this thread would not wake the main thread, which has to handle it.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        thread.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
