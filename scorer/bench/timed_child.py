"""The scorer's child process, started for a measurement, and when it says what."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scorer.common.errors import QfidError
from scorer.common.python_command import python_command
from scorer.spec.events import Event, Failed, parse_line

_COMMAND = python_command("scorer")
_DROPPED = ("QFID_DATA_DIR", "QFID_RECORD")

NO_BATCH = ("the scorer ended before its first batch", "see its messages above")
"""Message and hint of a child that ended too early."""


@contextmanager
def timed_child(
    request: dict[str, Any], data: Path, *, dropped: tuple[str, ...] = (), kill: bool = False
) -> Iterator[Iterator[tuple[Event, float]]]:
    """Start a child; inside the block its events, each with the seconds since the start.

    The events raise QfidError where the child reports a failure. After the block the child is
    waited for.

    Args:
        request: The first line of its input.
        data: Its data folder.
        dropped: More variables that it does not inherit.
        kill: End it after the block, whatever it does.
    """
    left_out = {*_DROPPED, *dropped}
    kept = {name: value for name, value in os.environ.items() if name not in left_out}
    start = time.perf_counter()
    with subprocess.Popen(
        _COMMAND,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**kept, "QFID_DATA_DIR": str(data)},
    ) as child:
        assert child.stdin is not None and child.stdout is not None
        lines = child.stdout

        def events() -> Iterator[tuple[Event, float]]:
            for line in lines:
                event, now = parse_line(line), time.perf_counter() - start
                if isinstance(event, Failed):
                    raise QfidError(event.message, event.hint)
                if event is not None:
                    yield event, now

        try:
            child.stdin.write(json.dumps(request).encode() + b"\n")
            child.stdin.flush()
            yield events()
        finally:
            if kill:
                child.kill()
            with contextlib.suppress(BrokenPipeError):
                child.stdin.close()
