"""The app and the command line refuse a package `scorer` that is not theirs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

ENTRIES = ("qfid_tui", "qfid_tui.cli", "qfid_tui.bench", "qfid_tui.replay", "qfid_tui.screenshots")


def ran(*words: str, folder: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.fsdecode(ROOT if path is None else path)},
        timeout=120,
    )


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_scorer_in_the_working_directory_is_named(tmp_path: Path, entry: str) -> None:
    foreign = tmp_path / "scorer.py"
    foreign.write_text("raise AssertionError('it must not run')\n")
    done = ran("-m", entry, "--version", folder=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        f"error: Python finds another package called `scorer`, not qfid's: {foreign}",
        "hint: rename or uninstall it, or install qfid in an environment of its own",
    ]


def test_a_distribution_that_replaced_files_of_ours_is_found(tmp_path: Path) -> None:
    site = tmp_path / "site"
    for name in ("scorer", "qfid_tui"):
        shutil.copytree(ROOT / name, site / name, ignore=shutil.ignore_patterns("demo", "*.pyc"))
    done = ran("-m", "qfid_tui.cli", "--version", folder=tmp_path, path=site)
    assert done.returncode == 0 and done.stdout.startswith("qfid ")
    (site / "scorer" / "__init__.py").write_text("__version__ = '2.0'\n")
    done = ran("-m", "qfid_tui.cli", "--version", folder=tmp_path, path=site)
    assert done.returncode == 2
    assert f"not qfid's: {site / 'scorer' / '__init__.py'}" in done.stderr


@pytest.mark.parametrize("entry", ["qfid_tui", "qfid_tui.cli"])
def test_a_package_in_the_working_directory_is_not_imported(tmp_path: Path, entry: str) -> None:
    for name in ("numpy", "huggingface_hub", "rich"):
        (tmp_path / f"{name}.py").write_text("raise AssertionError('it must not run')\n")
    done = ran("-m", entry, "pull", "org/name", folder=tmp_path)
    assert done.returncode == 2 and "HF_HUB_OFFLINE forbids" in done.stderr, done.stderr
