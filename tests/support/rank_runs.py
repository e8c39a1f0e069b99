"""Runs that several ranks share, as real processes on the loopback."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from deadline import DEADLINE

from scorer.runs.listing import find_run
from scorer.spec.events import Event, RanksScored
from scorer.spec.job import Job
from scorer.spec.ranks import Host, Ranks, local_ranks
from scorer.stats.positions import Positions


def shared(job: Job, ranks: int, **more: Any) -> dict[str, Any]:
    """The request for a run that so many ranks of this machine share."""
    found = local_ranks(ranks)
    return job.to_json() | more | ({} if found is None else {"ranks": found.to_json()})


def over_ssh(job: Job, *names: str) -> dict[str, Any]:
    """The request for a run that this machine shares with those that ``ssh`` reaches by name."""
    hosts = (Host(), *(Host(name, ("127.0.0.1",)) for name in names))
    return job.to_json() | {"ranks": Ranks(hosts).to_json()}


def fake_ssh(folder: Path, exports: str = "") -> str:
    """A ``PATH`` on which ``ssh`` runs its command on this machine, after ``exports``."""
    ssh = folder / "ssh"
    ssh.write_text(f'#!/bin/sh\nfor last; do :; done\n{exports}\neval "exec $last"\n')
    ssh.chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def stored(run: str) -> dict[tuple[str, int], Positions]:
    """Positions of a saved run by setting and chunk, in the order in which they are stored."""
    batches = find_run(run).read()
    return {
        (name, int(positions.chunk[0])): positions
        for name, each in batches.items()
        for positions, _ in each
    }


def assert_same_bits(
    mine: dict[tuple[str, int], Positions], theirs: dict[tuple[str, int], Positions]
) -> None:
    """Check that two runs hold the same cells, bit for bit, in the same order."""
    assert list(mine) == list(theirs)
    for key, positions in mine.items():
        for name in Positions.__dataclass_fields__:
            got, expected = getattr(theirs[key], name), getattr(positions, name)
            np.testing.assert_array_equal(got, expected, f"{key} {name}", strict=True)


def scored_by_each(events: list[Event]) -> list[int]:
    """Cells that each rank has scored, as the last word about them says."""
    return [event for event in events if isinstance(event, RanksScored)][-1].cells


def rank_pids(parent: int) -> list[int]:
    """Process ids of the ranks that a process has started, in their order."""
    lines = subprocess.run(
        ["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    words = [line.split() for line in lines]
    return sorted(int(each[0]) for each in words if each[1] == str(parent) and each[-1] == "--rank")


def is_alive(pid: int) -> bool:
    """Whether a process of this user runs; one that has ended and is not waited for does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True)
    return not state.stdout.strip().startswith("Z") and bool(state.stdout.strip())


def wait_until_gone(pids: list[int]) -> None:
    """Wait until processes have ended."""
    until = time.monotonic() + DEADLINE
    while any(map(is_alive, pids)):
        assert time.monotonic() < until, pids
        time.sleep(0.02)
