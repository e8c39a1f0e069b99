"""Nothing that qfid starts is a program of the system: no compiler, no linker, no ``uname``."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

# What Python's library, NumPy and MLX have been seen to start, and what they could.
_PROGRAMS = (
    *("gcc", "cc", "c++", "g++", "clang", "clang++", "ld", "objdump", "ldconfig", "sh", "bash"),
    *("uname", "arch", "lscpu", "sysctl", "sw_vers", "ps", "which", "git", "nvidia-smi", "nvcc"),
)
_COMMANDS = (
    ("--help",),
    ("--version",),
    ("models", "--format", "json"),
    ("doctor",),
    ("kv", "demo", "--settings", "8", "--chunk-length", "32", "--max-chunks", "1"),
)
_QFID = (sys.executable, "-P", "-m", "qfid_tui.cli")


def ids(command: tuple[str, ...]) -> str:
    return command[0]


@pytest.mark.parametrize("command", _COMMANDS, ids=ids)
def test_no_program_is_looked_for_on_the_path(command: tuple[str, ...], tmp_path: Path) -> None:
    poisoned, started = tmp_path / "bin", tmp_path / "started"
    poisoned.mkdir()
    for name in _PROGRAMS:
        program = poisoned / name
        program.write_text(f'#!/bin/sh\necho "$0 $*" >> {started}\nexit 1\n')
        program.chmod(0o755)
    done = subprocess.run(
        [*_QFID, *command],
        env={**os.environ, "PATH": str(poisoned), "QFID_DATA_DIR": str(tmp_path / "data")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr.decode()
    assert not started.exists(), started.read_text()


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("command", _COMMANDS, ids=ids)
def test_every_program_that_is_started_is_this_python(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    log = tmp_path / "log"
    subprocess.run(
        ["strace", "-f", "-qq", "-e", "trace=execve", "-o", log, *_QFID, *command],
        env={**os.environ, "QFID_DATA_DIR": str(tmp_path / "data")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
        timeout=100,
    )
    assert set(re.findall(r'execve\("([^"]*)"', log.read_text())) == {sys.executable}
