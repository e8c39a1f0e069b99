"""A fault at any call of a run's life that changes a file costs nothing that was told as scored.

Kills, full disks, I/O errors and short writes. Once the disk is well again the run is gone on with,
and its report is that of a run that nothing disturbed.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from faulty_calls import strace_calls, strace_words
from project import ROOT, SUPPORT
from saved_runs import FACTS, job

from scorer.common.folders import runs_folder
from scorer.runs.listing import new_run

CALLS = {
    *("mkdir", "open", "flock", "write", "ftruncate"),
    *("fsync", "fdatasync", "rename", "unlink", "rmdir"),
}


def driver(folder: Path, *words: str, under: Sequence[str] = ()) -> Any:
    """What the driver prints; ``under`` are the words of a program that runs it."""
    done = subprocess.run(
        [*under, sys.executable, str(SUPPORT / "storage_fault_driver.py"), str(folder), *words],
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{SUPPORT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_matrix(
    folder: Path, engine: str, kinds: str, *, shares: int, step: int, least: int, first: int = 0
) -> None:
    found = driver(folder, engine, "matrix", kinds, *map(str, (shares, step, first)))
    print(f"{engine}, {kinds}: {found['faults']} faults over {found['calls']} calls")
    assert set(found["names"]) == CALLS and found["calls"] > 80
    assert found["faults"] >= least and found["bad"] == []


def test_faults_at_some_calls_cost_nothing(tmp_path: Path) -> None:
    check_matrix(tmp_path, "fake", "kill,full,io,short", shares=4, step=53, least=10)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "least"), [("kill", 170), ("full", 170), ("io", 170), ("short", 80)]
)
def test_faults_at_all_calls_cost_nothing(tmp_path: Path, kind: str, least: int) -> None:
    check_matrix(tmp_path, "fake", kind, shares=4, step=1, least=least)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(4))
@pytest.mark.parametrize("kind", ["kill", "full", "io", "short"])
def test_faults_at_all_calls_of_the_engine_cost_nothing(
    tmp_path: Path, kind: str, first: int
) -> None:
    """Every fourth call a test."""
    least = 8 if kind == "short" else 32
    check_matrix(tmp_path, "demo", kind, shares=2, step=4, first=first, least=least)


def test_a_folder_deleted_at_some_calls_ends_its_run_alone(tmp_path: Path) -> None:
    check_matrix(tmp_path, "fake", "gone", shares=0, step=13, least=7)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["fake", "demo"])
def test_a_folder_deleted_at_any_call_ends_its_run_alone(tmp_path: Path, engine: str) -> None:
    check_matrix(tmp_path, engine, "gone", shares=0, step=1, least=80)


@pytest.mark.parametrize("engine", ["fake", pytest.param("demo", marks=pytest.mark.slow)])
def test_the_calls_are_those_that_the_kernel_sees(tmp_path: Path, engine: str) -> None:
    trace = tmp_path / "trace"
    words = strace_words(trace)
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    made = [tuple(call) for call in driver(tmp_path, engine, "survey", under=words)]
    # Before them the kernel saw how the folder of data was made.
    # What the process of the text keeps is its own: without it the text is tokenized once more.
    traced = strace_calls(trace, tmp_path / "data")
    seen = [call for call in traced if "/cache/tokens" not in call[1]]
    assert seen[-len(made) :] == made
    assert {name for name, _ in made} == CALLS


def test_a_disk_that_fills_up_at_some_bytes_of_a_run_costs_nothing(tmp_path: Path) -> None:
    found = driver(tmp_path, "fake", "full", "7919", "0")
    assert found["faults"] >= 9 and found["bad"] == []


@pytest.mark.slow
@pytest.mark.parametrize("first", range(4))
def test_a_disk_that_fills_up_at_any_byte_of_a_run_costs_nothing(
    tmp_path: Path, first: int
) -> None:
    found = driver(tmp_path, "fake", "full", str(4 * 97), str(97 * first))
    assert found["faults"] >= 175 and found["bad"] == []


def test_what_killed_processes_left_is_swept_up_once_it_is_old() -> None:
    runs_folder().mkdir(parents=True)
    old, young = (runs_folder() / name for name in (".new-0", ".new-1"))
    for folder in (old, young):
        folder.mkdir()
        (folder / "job.json").write_text("{")
    os.utime(old, (0, 0))
    run = new_run(job(), FACTS)
    assert sorted(path.name for path in runs_folder().iterdir()) == [young.name, run.id]
