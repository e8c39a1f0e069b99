"""Runs that another process is writing to."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from project import ROOT

_HOLD = (
    "import sys; sys.path.insert(0, {root!r})\n"
    "from scorer.runs.run_lock import RunLock\n"
    "with RunLock({run!r}):\n"
    "    print('held', flush=True); sys.stdin.read()\n"
)


@contextmanager
def held(run: Path) -> Iterator[int]:
    """Another process that writes to a run; gives its id."""
    code = _HOLD.format(root=str(ROOT), run=str(run))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        process.stdin.close()
