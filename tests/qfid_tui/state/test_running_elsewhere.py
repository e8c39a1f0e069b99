"""Whether another process is scoring the same at this moment."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cli_saved_runs import save_run
from project import ROOT

from qfid_tui.state.running_elsewhere import running_elsewhere
from scorer.spec.settings.registry import parse_settings

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


def test_the_same_job_of_another_process_is_found() -> None:
    run = save_run("8,4", finished=False, chunks=1)
    save_run("8,4")
    job = run.job
    assert running_elsewhere(job) is None
    with held(run.path) as pid:
        found = running_elsewhere(dataclasses.replace(job, settings=parse_settings("4,2")))
        assert found is not None
        assert (found.run, found.pid, found.settings) == (run.id, pid, ("4",))
        assert f"process {pid} is scoring 4" in found.words and run.id in found.words
        for other in (
            dataclasses.replace(job, settings=parse_settings("2")),
            dataclasses.replace(job, chunk_length=32),
            dataclasses.replace(job, model="org/other"),
        ):
            assert running_elsewhere(other) is None
    assert running_elsewhere(job) is None
