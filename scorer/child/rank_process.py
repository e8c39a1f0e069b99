"""A rank that rank 0 has started: a child process here, or one that ``ssh`` starts elsewhere.

It is told what to do on its standard input, whose end ends it, says where it is on its standard
output, and what its libraries print is kept for the message that it died.
"""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from scorer.common.child_end import ending
from scorer.common.errors import QfidError
from scorer.common.inert_text import shown
from scorer.common.process_limits import limit_reached
from scorer.common.python_command import python_command
from scorer.spec.job import Job
from scorer.spec.ranks import LINK_LOST, Host

_LOG_LINES = 20
_SHOWN_LINES = 3
_LOG_WIDTH = 400
_LOG_SECONDS = 1.0
# What a rank elsewhere is to have of the environment here.
_PASSED_ON = ("QFID_DEVICE", "HF_HUB_OFFLINE")


class RankProcess:
    """One rank beside rank 0.

    Attributes:
        rank: Its number.
        name: What messages call it.
        port: A free port of its machine; None until it is ready.
        exchanges: Exchanges that it has come to.
        killed: Why it was ended, where :meth:`kill` was.
    """

    def __init__(self, rank: int, host: Host, variables: Mapping[str, str], job: Job) -> None:
        """Start it.

        Args:
            rank: Its number.
            host: Where.
            variables: Of the environment, for it alone.
            job: What the run scores: it builds kernels for it before the ranks meet.

        Raises:
            QfidError: It cannot be started.
        """
        self.rank = rank
        self.name = named(rank, host.ssh)
        self.port: int | None = None
        self.exchanges = 0
        self.killed = ""
        self._gone: float | None = None
        self._log: deque[str] = deque(maxlen=_LOG_LINES)
        command, environment = _command(host, variables)
        try:
            # In the process group of rank 0: whoever ends that ends this process too.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
            )
        except OSError as error:
            raise limit_reached(error) or QfidError(
                f"{self.name} cannot be started: {error.strerror or error}"
            ) from error
        self._readers = [
            threading.Thread(target=read, args=(pipe,), daemon=True)
            for read, pipe in (
                (self._read_lines, self._process.stdout),
                (self._read_log, self._process.stderr),
            )
        ]
        for reader in self._readers:
            reader.start()
        self.order({"job": job.to_json()})

    def order(self, values: Mapping[str, Any]) -> None:
        """Write a line of orders; where it has ended, that shows later."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.write(json.dumps(dict(values)).encode() + b"\n")
            self._process.stdin.flush()

    @property
    def pid(self) -> int:
        """Its process id; that of ``ssh`` where it runs elsewhere."""
        return self._process.pid

    def gone_since(self) -> float | None:
        """When it was first seen to have ended, by ``time.monotonic``; None while it runs."""
        if self._gone is None and self._process.poll() is not None:
            self._gone = time.monotonic()
        return self._gone

    @property
    def is_cause(self) -> bool:
        """Whether it ended for a reason of its own, and not because another did."""
        return self.gone_since() is not None and self._process.returncode != LINK_LOST

    def ending(self) -> str:
        """How it ended."""
        if self.killed:
            return self.killed
        code = self._process.returncode
        if code is None:
            return "does not answer"
        return ending(code)

    def last_lines(self) -> str:
        """What it printed last; "" for nothing."""
        for reader in self._readers if self._gone is not None else ():
            reader.join(_LOG_SECONDS)
        return " | ".join(list(self._log)[-_SHOWN_LINES:])

    def kill(self, why: str) -> None:
        """End it at once."""
        self.killed = why
        with contextlib.suppress(OSError):
            self._process.kill()

    def end_input(self) -> None:
        """Close its input, which ends it."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def close(self, seconds: float) -> None:
        """Wait until it has ended; end it after so many seconds."""
        self.end_input()
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _read_lines(self, stdout: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), stdout:
            for line in stdout:
                with contextlib.suppress(ValueError, TypeError, AttributeError):
                    told = json.loads(line)
                    self.exchanges = int(told.get("exchanges", self.exchanges))
                    self.port = told.get("port", self.port)

    def _read_log(self, stderr: IO[bytes]) -> None:
        with contextlib.suppress(OSError, ValueError), stderr:
            while piece := stderr.readline(64 << 10):
                text = shown(piece.decode("utf-8", "replace").strip())
                if text:
                    self._log.append(text[:_LOG_WIDTH])


def named(rank: int, host: str) -> str:
    """What messages call a rank."""
    return f"rank {rank} ({host})"


def _command(host: Host, variables: Mapping[str, str]) -> tuple[list[str], dict[str, str] | None]:
    """The command that starts a rank, and its environment; None where that is not ours to make."""
    python = python_command("scorer", "--rank")
    if host.is_here:
        return [*python], {**os.environ, **variables}
    passed = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    exports = [f"export {k}={shlex.quote(v)};" for k, v in {**passed, **variables}.items()]
    folder = shlex.quote(str(Path.cwd()))
    script = f"cd {folder} 2>/dev/null; {' '.join(exports)} exec {shlex.join(python)}"
    # Whatever shell the user has there.
    return ["ssh", "-o", "BatchMode=yes", host.ssh, f"sh -c {shlex.quote(script)}"], None
