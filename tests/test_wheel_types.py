"""Programs that call an installed qfid are checked against its types."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from project import ROOT

RIGHT = """
from pathlib import Path

from scorer import fit_memory, measure_kv_fidelity, measure_weight_fidelity
from qfid_tui.cli import main

report = measure_kv_fidelity(Path("demo"), kv_bits=4, on_event=lambda event: print(event.kind))
reports = measure_kv_fidelity("demo", settings=["8", "k8v4"])
flips: float = report.flip_rate + reports[0].flip_rate
low = 0.0 if report.intervals.kl_mean is None else report.intervals.kl_mean.low
grid = measure_weight_fidelity("demo", [Path("copy")], bits=4, kv=[8, "4:32"], memory="16GB")
drift: float = grid["w4"].kl.mean + sum(one.flip_rate for one in grid)
answer = fit_memory("demo", memory="16GB", context="32k").deployment
pick: str | None = None if answer is None else answer.pick
code: int = main(["--version"])
reveal_type(report.verdict)
"""
WRONG = """
from scorer import fit_memory, measure_kv_fidelity, measure_weight_fidelity

measure_kv_fidelity("demo", kv_bits="four")
measure_kv_fidelity("demo", kv_bits=4, settings=["8"])
measure_weight_fidelity("demo", bits=4.5)
fit_memory("demo")
"""


def run(*words: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*words], capture_output=True, text=True, cwd=folder, timeout=600)


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds our wheel and nothing else."""
    pytest.importorskip("hatchling", reason="builds the wheel: it comes with .[test]")
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir")
    built = run(sys.executable, "-m", "pip", "wheel", *options, folder, ROOT, folder=folder)
    assert built.returncode == 0, built.stderr
    (wheel,) = folder.glob("qfid-*.whl")
    environment = folder / "environment"
    made = run(sys.executable, "-m", "venv", "--without-pip", environment, folder=folder)
    assert made.returncode == 0, made.stderr
    (site,) = environment.glob("lib/python*/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return environment / "bin" / "python"


def checked(python: Path, program: str, folder: Path) -> str:
    caller = folder / "caller.py"
    caller.write_text(program)
    done = run(
        *(sys.executable, "-m", "mypy", "--strict", "--python-executable", python),
        *("--cache-dir", folder / "cache", caller),
        folder=folder,
    )
    return done.stdout


def test_a_caller_of_the_installed_package_sees_its_types(python: Path, tmp_path: Path) -> None:
    found = checked(python, RIGHT, tmp_path)
    assert "error:" not in found, found
    assert "Any" not in found and "good" in found, found
    wrong = checked(python, WRONG, tmp_path)
    assert wrong.count("No overload variant") == 2, wrong
    assert wrong.count('Argument "bits"') == wrong.count("Missing named argument") == 1, wrong
