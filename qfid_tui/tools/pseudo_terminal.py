"""A program in a terminal of its own, driven byte by byte: for the benchmark and for tests."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_MODE = re.compile(rb"\x1b\[\?([0-9;]+)([hl])")
_KEYBOARD = re.compile(rb"\x1b\[([><])[0-9;]*u")

SANE = frozenset({"7", "25"})


class TerminalProcess:
    """A program that is the leader of a session whose terminal is ours.

    Attributes:
        output: All bytes that it wrote.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        size: tuple[int, int] = (80, 24),
        env: Mapping[str, str] | None = None,
    ) -> None:
        """Start it.

        Args:
            command: The program and its arguments.
            size: Columns and lines.
            env: Changes to the environment; ``TERM`` is xterm-256color unless it says otherwise.
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
        # The terminal outlives the program, so that what it leaves behind can be looked at.
        self._slave: int | None = slave

    def read(self, seconds: float) -> bytes:
        """What it writes next, waiting at most so long; b"" for nothing."""
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

    def read_until(self, true: Callable[[bytes], Any], seconds: float) -> float:
        """Read until something holds of all it wrote.

        Returns:
            Seconds from its start to the read after which it held.

        Raises:
            TimeoutError: It never did; the last bytes are in the message.
        """
        end = time.monotonic() + seconds
        while not true(self.output):
            if time.monotonic() > end:
                raise TimeoutError(repr(self.output[-2000:]))
            self.read(0.05)
        return time.monotonic() - self.started

    def write(self, data: bytes) -> None:
        """Type."""
        os.write(self._master, data)

    def resize(self, size: tuple[int, int]) -> None:
        """Give the terminal another size, in columns and lines; the program is told."""
        _set_size(self._master, size)

    def hang_up(self) -> None:
        """Close the terminal, as closing its window does."""
        for descriptor in (self._slave, self._master):
            if descriptor is not None:
                os.close(descriptor)
        self._slave, self._master = None, -1

    def wait(self, seconds: float) -> int:
        """Read until it has ended; return its exit code, negative for a signal.

        Raises:
            TimeoutError: It has not.
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

    def is_as_before(self) -> bool:
        """Whether the terminal's settings (echo, lines, signals) are those of the start."""
        assert self._slave is not None
        return termios.tcgetattr(self._slave) == self.settings

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


def modes_left_on(output: bytes) -> set[str]:
    """Which private modes a program's output leaves switched on, and ``keyboard`` if it does.

    At first lines wrap, 7, and the cursor is shown, 25; so ``SANE`` is a terminal as it was.
    """
    on = set(SANE)
    for match in _MODE.finditer(output):
        for mode in match[1].decode().split(";"):
            (on.add if match[2] == b"h" else on.discard)(mode)
    depth = sum(1 if match[1] == b">" else -1 for match in _KEYBOARD.finditer(output))
    return on | {"keyboard"} if depth > 0 else on
