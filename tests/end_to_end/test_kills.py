"""A real scorer killed at random instants, again and again, and a real file system that fills up.

Whatever was told as scored stays, and the run ends with the report of one that nothing disturbed.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from project import ROOT, SUPPORT
from scorer_child import Child
from tiny_runs import Small, cells, finished, numbers, stored_cells

from scorer.engine.turns import STATES
from scorer.runs.listing import Run, list_runs
from scorer.score import score
from scorer.spec.events import Event, Finished, Planned

SETTINGS, CHUNKS = "8,4~dequantized,k8v4@9", 12
WEIGHTS = "w8:32,4,w8:32+4,w2:32,w2:32+4@9"
KILLS = 20
"""A test; each parameter is another seed of the instants."""
SEEDS = (20261124, 20261125, 20261126)


def lived(request: dict[str, Any], after: int | None = None, seconds: float = 0.0) -> list[Event]:
    """The events of a child that is killed so long after so many events; None lets it live."""
    with Child() as child:
        child.send(request)
        events: list[Event] = []
        timer = threading.Timer(seconds, child.process.send_signal, (signal.SIGKILL,))
        if after == 0:
            timer.start()
        while (event := child.event()) is not None:
            events.append(event)
            if len(events) == after:
                timer.start()
        timer.cancel()
        child.process.wait()
    return events


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_kills_at_random_instants_cost_nothing(small: Small, seed: int) -> None:
    killed_often(small.job(SETTINGS, max_chunks=CHUNKS).to_json(), KILLS, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("in_turns", [False, True])
def test_kills_of_a_run_with_weights_cost_nothing(small: Small, in_turns: bool, seed: int) -> None:
    """Also while states are stored, and while a set of weights is loaded."""
    job = small.job(WEIGHTS, max_chunks=6, one_at_a_time=in_turns)
    killed_often(job.to_json(), KILLS // 2, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("settings", [SETTINGS, WEIGHTS])
def test_kills_while_chunks_are_added_cost_nothing(small: Small, settings: str, seed: int) -> None:
    """A finished run is killed while it grows; each is resumed as `qfid resume` does."""
    chance = random.Random(seed)
    in_turns = settings == WEIGHTS
    few = small.job(settings, max_chunks=3, one_at_a_time=in_turns).to_json()
    many = small.job(settings, max_chunks=8, one_at_a_time=in_turns).to_json()
    undisturbed = lived(many)
    expected, length = numbers(finished(undisturbed).report), len(undisturbed)
    list_runs()[0].path.rename(list_runs()[0].path.with_name(".whole"))
    kills = 0
    for finishes in range(2, 100):
        finished(lived(few))
        (info,) = list_runs()
        run = Run(info.path)
        before, told = run.positions_path.read_bytes(), set[tuple[str, int]]()
        while True:
            # Killed before the run has grown, it still is what it was.
            request = many if run.finished else run.job.to_json()
            after = chance.choice([chance.randrange(5), chance.randrange(length // 2)])
            more = after if kills < KILLS // 2 else None
            events = lived({**request, "run": run.id}, more, chance.uniform(0, 0.05))
            told |= set(cells(events))
            run = Run(info.path)
            stored = stored_cells(run)
            assert told <= stored, told - stored
            assert run.positions_path.read_bytes().startswith(before)
            if events and isinstance(events[-1], Finished):
                break
            kills += 1
        assert numbers(events[-1].report) == expected and run.whole and run.finished
        run.path.rename(run.path.with_name(f".done-{finishes}"))
        if kills >= KILLS // 2:
            break


def killed_often(job: dict[str, Any], times: int, seed: int) -> None:
    """Kill runs of a job so often; each is resumed until it is finished as one undisturbed."""
    chance = random.Random(seed)
    undisturbed = lived(job)
    expected, length = numbers(finished(undisturbed).report), len(undisturbed)
    list_runs()[0].path.rename(list_runs()[0].path.with_name(".whole"))
    kills = finishes = told_in_all = 0
    run: Run | None = None
    told: set[tuple[str, int]] = set()
    while kills < times or run is not None:
        request = job if run is None else {**job, "run": run.id}
        # By events and not by the clock alone: on a busy machine a child takes long to load.
        after = chance.choice([chance.randrange(5), chance.randrange(length // 2)])
        events = lived(request, after if kills < times else None, chance.uniform(0, 0.05))
        told |= set(cells(events))
        told_in_all += len(cells(events))
        infos = list_runs()
        assert all(info.state in ("unfinished", "finished") for info in infos), infos
        if any(isinstance(event, Planned) for event in events):
            run = Run(infos[0].path)
        if run is not None:
            stored = stored_cells(run)
            assert told <= stored, told - stored
        if not (events and isinstance(events[-1], Finished)):
            kills += 1
            continue
        assert numbers(events[-1].report) == expected and run is not None and run.whole
        assert not (run.path / STATES).exists()
        finishes += 1
        run.path.rename(run.path.with_name(f".done-{finishes}"))
        run, told = None, set()
    print(f"{kills} kills over {finishes} runs, {told_in_all} batches told, none lost")


# In a mount namespace of its own: score until the disk is full, enlarge it, go on.
FULL = """
import json, subprocess, sys
folder, kilobytes, job, support = sys.argv[1:]
sys.path.insert(0, support)
from tiny_runs import cells, numbers
from scorer.device.host_memory import HostMemory
from scorer.spec.job import Job
from scorer.runs.listing import list_runs
from scorer.score import score

# Not what other programs leave free.
score.__kwdefaults__["read_memory"] = lambda: HostMemory(16 << 30, 8 << 30)

def mount(options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)

job = Job.from_json(json.loads(job))
mount(f"size={kilobytes}k")
first = list(score(job))
infos = list_runs()
mount(f"remount,size=64m")
rest = list(score(job, run=infos[0].id if infos else None))
print(json.dumps({
    "first": first[-1].to_json(),
    "told": cells(first),
    "again": cells(rest),
    "states": [info.state for info in infos],
    "last": rest[-1].to_json(),
}))
"""


def can_mount(folder: Path) -> str:
    """Why no file system of memory can be mounted here, or ""."""
    words = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(folder)]
    try:
        done = subprocess.run(words, capture_output=True, text=True, check=False)
    except OSError as error:
        return str(error)
    return done.stderr.strip() if done.returncode else ""


@pytest.mark.parametrize(
    "kilobytes",
    [pytest.param(size, marks=pytest.mark.slow) for size in range(4, 80, 4)],
)
def test_a_file_system_that_is_full_stops_the_run_in_order(
    small: Small, tmp_path: Path, kilobytes: int
) -> None:
    filled_up(small, tmp_path, kilobytes, "8,4", one_at_a_time=False)


@pytest.mark.parametrize(
    "kilobytes",
    [pytest.param(n, marks=pytest.mark.slow) for n in range(8, 136, 8)],
)
def test_a_file_system_that_is_full_of_states_stops_the_run_in_order(
    small: Small, tmp_path: Path, kilobytes: int
) -> None:
    filled_up(small, tmp_path, kilobytes, "4,w8:32,w2:32+4", one_at_a_time=True)


def filled_up(
    small: Small, tmp_path: Path, kilobytes: int, settings: str, *, one_at_a_time: bool
) -> None:
    """Score on a file system of so many kilobytes, and go on once it is larger."""
    if reason := can_mount(tmp_path):
        pytest.skip(f"no file system can be mounted here: {reason}")
    job = small.job(settings, max_chunks=4, one_at_a_time=one_at_a_time)
    words = [str(tmp_path), str(kilobytes), json.dumps(job.to_json()), str(SUPPORT)]
    done = subprocess.run(
        ["unshare", "--map-root-user", "--mount", sys.executable, "-c", FULL, *words],
        env={**os.environ, "QFID_DATA_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    first, told = found["first"], [tuple(cell) for cell in found["told"]]
    assert first["event"] == "failed", (kilobytes, first)
    said = first["message"] + first["hint"]
    assert "no space left" in said or "No space" in said or "hidden states take" in said
    assert "\n" not in first["message"] and first["exit_code"] in (1, 2)
    assert first["saved"] == len(told) and found["states"] in (["unfinished"], [])
    again = [tuple(cell) for cell in found["again"]]
    assert sorted(told + again) == sorted((s, c) for s in settings.split(",") for c in range(4))
    expected = numbers(finished(list(score(job))).report)
    assert numbers(found["last"]["report"]) == expected
