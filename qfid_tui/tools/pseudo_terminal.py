"""Runs a program in a pseudo terminal, for the benchmark and for tests."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any


class TerminalProcess:
    """A program that is the leader of a session with a pseudo terminal.

    Attributes:
        output: All bytes that it has written.
        settings: Initial settings of the terminal, as from :func:`termios.tcgetattr`.
        terminal: Descriptor of the terminal; None after :meth:`hang_up`.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: tuple[int, int] = (80, 24),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start the program.

        Args:
            command: The program and its arguments.
            size: Columns and lines.
            env: Changes to the environment; ``TERM`` is xterm-256color by default.
        """
        self.output = b""
        self._master, slave = pty.openpty()
        _set_size(slave, size)
        self.settings = termios.tcgetattr(slave)
        self.started = time.monotonic()

        def take_terminal() -> None:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.process = subprocess.Popen(
            command,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            preexec_fn=take_terminal,
            env={**os.environ, "TERM": "xterm-256color", **(env or {})},
        )
        # Kept open after the program has ended, so that the state of the terminal can be checked.
        self.terminal: int | None = slave

    def read(self, seconds: float) -> bytes:
        """Return the next output, b"" if there is none within ``seconds``."""
        if not select.select([self._master], [], [], seconds)[0]:
            return b""
        try:
            found = os.read(self._master, 1 << 16)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            found = b""
        self.output += found
        return found

    def read_until(self, condition: Callable[[bytes], Any], seconds: float) -> float:
        """Read until a condition holds for the whole output.

        Returns:
            Seconds from the start of the program to the read after which it held.

        Raises:
            TimeoutError: It did not hold in time; the last bytes are in the message.
        """
        end = time.monotonic() + seconds
        while not condition(self.output):
            if time.monotonic() > end:
                raise TimeoutError(repr(self.output[-2000:]))
            self.read(0.05)
        return time.monotonic() - self.started

    def write(self, data: bytes) -> None:
        """Write to the input of the program."""
        os.write(self._master, data)

    def resize(self, size: tuple[int, int]) -> None:
        """Resize the terminal to columns and lines; the program gets SIGWINCH."""
        _set_size(self._master, size)

    def hang_up(self) -> None:
        """Close the terminal, as if its window were closed."""
        for descriptor in (self.terminal, self._master):
            if descriptor is not None:
                os.close(descriptor)
        self.terminal, self._master = None, -1

    def wait(self, seconds: float) -> int:
        """Read until the program has ended; return its exit code, negative for a signal.

        Raises:
            TimeoutError: It has not ended in time.
        """
        end = time.monotonic() + seconds
        while self.process.poll() is None:
            if time.monotonic() > end:
                raise TimeoutError(repr(self.output[-2000:]))
            if self._master >= 0:
                self.read(0.02)
            else:
                time.sleep(0.02)
        while self._master >= 0 and self.read(0):
            pass
        return self.process.returncode

    def __enter__(self) -> TerminalProcess:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        if self._master >= 0:
            self.hang_up()


def _set_size(descriptor: int, size: tuple[int, int]) -> None:
    columns, lines = size
    fcntl.ioctl(descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
