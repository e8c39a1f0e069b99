"""What ``qfid doctor`` says of another package called ``scorer``."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

from scorer.child.own_package import PLACE, other_scorers


def installed(site: Path, name: str, *files: str) -> None:
    """Put a distribution into a folder, as an installer does."""
    info = site / f"{name.replace('-', '_')}-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.0\n")
    for file in files:
        (site / file).parent.mkdir(exist_ok=True)
        (site / file).write_text("")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


def doctor(folder: Path, *path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, *path)))}
    return subprocess.run(
        # As the command `qfid`, which has no working directory on its path.
        [sys.executable, "-P", "-m", "qfid_tui.cli", "doctor", "--format", "json"],
        capture_output=True,
        text=True,
        cwd=folder,
        env=environment,
        timeout=300,
    )


def test_nothing_else_has_the_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert PLACE == ROOT / "scorer"
    for folder in (tmp_path, ROOT):
        monkeypatch.chdir(folder)
        assert other_scorers() == []


def test_another_distribution_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    site = tmp_path / "site"
    installed(site, "scorer", "scorer/__init__.py", "scorer/metrics.py")
    installed(site, "other-scores", "scorer/more.py")
    installed(site, "unlike", "scorers/__init__.py")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.chdir(tmp_path)
    first, second = other_scorers()
    assert first.message.startswith("the distribution `other-scores` installs a package called")
    assert second.message.startswith("the distribution `scorer` installs a package called")
    assert second.hint.startswith("`pip uninstall scorer` and install qfid again")


@pytest.mark.parametrize("name", ["scorer.py", "scorer/__init__.py"])
def test_a_file_of_the_working_folder_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("")
    monkeypatch.chdir(tmp_path)
    (found,) = other_scorers()
    assert f"takes `{tmp_path / name}` for qfid's package" in found.message


def test_a_deleted_working_folder_holds_none(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert other_scorers() == []


def test_the_doctor_names_them_and_its_own(tmp_path: Path) -> None:
    site = tmp_path / "site"
    installed(site, "scorer", "scorer/__init__.py")
    (tmp_path / "scorer.py").write_text("raise AssertionError('it must not run')\n")
    done = doctor(tmp_path, site)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["package"] == str(ROOT / "scorer")
    said = [finding["what"] for finding in found["findings"]]
    assert sum("the distribution `scorer` installs a package" in what for what in said) == 1
    assert sum(f"takes `{tmp_path}/scorer.py` for" in what for what in said) == 1
