"""Processes that compile kernels: which are started, how many at once, and how they end."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from scorer.device import kernel_processes
from scorer.device.host_memory import HostMemory
from scorer.device.kernel_processes import (
    DEVICE_BYTES,
    HOST_BYTES,
    Compiling,
    KernelProcesses,
    processes_at_once,
)
from scorer.device.kernel_tasks import KernelTask

TASKS = [
    KernelTask(f"{bits}-bit keys", "quantized_matmul", "bfloat16", bits=bits) for bits in (8, 4, 2)
]

# Says when it starts and ends; the widths tell it what to do in between.
WORKER = """
import json, os, pathlib, sys, threading, time
from scorer.device.kernel_tasks import KernelTask
request = json.loads(sys.stdin.buffer.readline())
threading.Thread(target=lambda: (os.read(0, 1), os._exit(1)), daemon=True).start()
folder, task = pathlib.Path(request["folder"]), KernelTask.from_json(request["task"])
folder.mkdir(exist_ok=True)
with open(folder / "log", "a") as log:
    log.write(f"{task.bits} begins\\n")
    log.flush()
    HOW
    log.write(f"{task.bits} ends\\n")
mark = task.mark(folder)
mark.parent.mkdir(exist_ok=True)
mark.touch()
"""


def worker(how: str) -> list[str]:
    return [sys.executable, "-c", WORKER.replace("HOW", how)]


def log(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines()


def wait_for(folder: Path, lines: int) -> None:
    deadline = time.monotonic() + 30
    while not (folder / "log").exists() or len(log(folder)) < lines:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_what_is_not_on_disk_is_compiled(tmp_path: Path) -> None:
    folder = tmp_path / "kernels"
    TASKS[1].mark(folder).parent.mkdir(parents=True)
    TASKS[1].mark(folder).touch()
    with KernelProcesses([*TASKS, TASKS[0]], folder, 4, worker("pass")) as processes:
        for _ in processes.awaited():
            pass
    assert sorted(log(folder)) == ["2 begins", "2 ends", "8 begins", "8 ends"]
    with KernelProcesses(TASKS, folder, 4, ["/nowhere"]) as processes:
        assert list(processes.awaited()) == []


def test_no_more_run_side_by_side_than_allowed(tmp_path: Path) -> None:
    with KernelProcesses(TASKS, tmp_path, 1, worker("time.sleep(0.2)")) as processes:
        for _ in processes.awaited():
            pass
    order = [f"{task.bits} {what}" for task in TASKS for what in ("begins", "ends")]
    assert log(tmp_path) == order


def test_they_run_side_by_side(tmp_path: Path) -> None:
    """Each waits until all have begun."""
    how = "\n    ".join(
        (
            "path = folder / 'log'",
            "while path.read_text().count('begins') < 3: time.sleep(0.01)",
        )
    )
    with KernelProcesses(TASKS, tmp_path, 3, worker(how)) as processes:
        for _ in processes.awaited():
            pass
    assert len(log(tmp_path)) == 6


def test_what_is_waited_for_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_processes, "_REPORT_SECONDS", 0.01)
    with KernelProcesses(TASKS, tmp_path, 1, worker("time.sleep(0.3)")) as processes:
        told = list(processes.awaited())
    assert told == [
        Compiling(0, 3, ("8-bit keys", "4-bit keys", "2-bit keys")),
        Compiling(1, 3, ("4-bit keys", "2-bit keys")),
        Compiling(2, 3, ("2-bit keys",)),
    ]
    assert told[1].described() == (
        "kernels for this GPU, once: 1 of 3 done; waiting for 4-bit keys, 2-bit keys"
    )
    many = Compiling(0, 5, ("a", "b", "c", "d", "e"))
    assert many.described().endswith("0 of 5 done; waiting for a, b, c and 2 more")


@pytest.mark.parametrize("command", [["/nowhere/python"], worker("raise SystemExit(3)")])
def test_a_process_that_fails_harms_nothing(tmp_path: Path, command: list[str]) -> None:
    with KernelProcesses(TASKS, tmp_path, 2, command) as processes:
        for _ in processes.awaited():
            pass
    assert not any(task.mark(tmp_path).exists() for task in TASKS)


def test_one_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_processes, "_PATIENCE", 0.5)
    with KernelProcesses(TASKS[:1], tmp_path, 1, worker("time.sleep(1000)")) as processes:
        assert [state.done for state in processes.awaited()] == [0]


def test_the_end_of_the_context_ends_them(tmp_path: Path) -> None:
    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        with KernelProcesses(TASKS, tmp_path, 2, worker("time.sleep(1000)")):
            wait_for(tmp_path, 2)
            raise KeyboardInterrupt
    assert time.monotonic() - begun < 30
    # The third was never started.
    assert sorted(log(tmp_path)) == ["4 begins", "8 begins"]


def test_one_that_does_not_hear_its_input_end_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_processes, "_END_SECONDS", 0.2)
    deaf = worker("time.sleep(1000)")
    deaf[-1] = deaf[-1].replace("os._exit(1)", "None")
    with KernelProcesses(TASKS[:1], tmp_path, 1, deaf) as processes:
        wait_for(tmp_path, 1)
        (process,) = processes._running
    assert process.returncode == -9


def test_cores_and_both_memories_bound_them(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = HostMemory(64 * HOST_BYTES, 20 * HOST_BYTES)
    monkeypatch.setattr(kernel_processes, "core_count", lambda: 16)
    monkeypatch.setattr(kernel_processes, "host_memory", lambda: memory)
    assert processes_at_once(100 * DEVICE_BYTES) == 10
    assert processes_at_once(3 * DEVICE_BYTES) == 3
    assert processes_at_once(-DEVICE_BYTES) == 0
    monkeypatch.setattr(kernel_processes, "core_count", lambda: 2)
    assert processes_at_once(100 * DEVICE_BYTES) == 2


def test_where_nothing_fits_nothing_is_started(tmp_path: Path) -> None:
    with KernelProcesses(TASKS, tmp_path, 0, worker("pass")) as processes:
        assert list(processes.awaited()) == []
    assert not (tmp_path / "log").exists()
