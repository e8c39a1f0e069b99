"""Kills and full disks at any moment of a run's life cost nothing that was told as scored."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from project import ROOT, SUPPORT
from saved_runs import FACTS, job

from scorer.common.folders import runs_folder
from scorer.runs.listing import new_run


def faults(folder: Path, what: str, step: int) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, str(SUPPORT / "storage_fault_driver.py"), str(folder), what, str(step)],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    print(f"{what}: {found['faults']} faults over {found['calls']} calls, {found['bytes']} bytes")
    return found


def test_kills_at_some_system_calls_of_a_run_cost_nothing(tmp_path: Path) -> None:
    found = faults(tmp_path, "kill", 11)
    assert found["faults"] >= 12 and found["lost"] == []


@pytest.mark.slow
def test_a_kill_at_every_system_call_of_a_run_costs_nothing(tmp_path: Path) -> None:
    found = faults(tmp_path, "kill", 1)
    assert found["faults"] >= 130 and found["lost"] == []


def test_a_disk_that_fills_up_at_some_bytes_of_a_run_costs_nothing(tmp_path: Path) -> None:
    found = faults(tmp_path, "full", 7919)
    assert found["faults"] >= 9 and found["lost"] == []


@pytest.mark.slow
def test_a_disk_that_fills_up_at_any_byte_of_a_run_costs_nothing(tmp_path: Path) -> None:
    found = faults(tmp_path, "full", 97)
    assert found["faults"] >= 700 and found["lost"] == []


def test_what_killed_processes_left_is_swept_up_once_it_is_old() -> None:
    runs_folder().mkdir(parents=True)
    old, young = (runs_folder() / name for name in (".new-0", ".new-1"))
    for folder in (old, young):
        folder.mkdir()
        (folder / "job.json").write_text("{")
    os.utime(old, (0, 0))
    run = new_run(job(), FACTS)
    assert sorted(path.name for path in runs_folder().iterdir()) == [young.name, run.id]
