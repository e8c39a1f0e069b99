"""A package from a leftover ``PYTHONPATH`` that does not work here is named with its folder."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from project import ROOT

from scorer.common.foreign_packages import foreign_import, packages_from_variable
from scorer.models.architectures import architecture_of


@pytest.fixture
def foreign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of packages of another Python, which PYTHONPATH names."""
    for package in ("numpy", "mlx_lm", "of_no_interest"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").touch()
    (tmp_path / "rich").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("from . import _of_another_python\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(tmp_path)]))
    return tmp_path


def test_packages_that_this_environment_has_itself_are_named(foreign: Path) -> None:
    assert packages_from_variable() == {
        "numpy": foreign / "numpy",
        "mlx_lm": foreign / "mlx_lm",
    }


def test_without_the_variable_there_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    assert packages_from_variable() == {}
    monkeypatch.delenv("PYTHONPATH")
    assert packages_from_variable() == {}


def test_only_an_import_that_failed_there_is_blamed(foreign: Path) -> None:
    there = ImportError("no such file", path=str(foreign / "numpy" / "__init__.py"))
    named = foreign_import(there)
    assert named is not None and f"`numpy` comes from `{foreign / 'numpy'}`" in named.message
    assert "`unset PYTHONPATH`" in named.hint
    consequence = RuntimeError("later")
    consequence.__cause__ = there
    assert foreign_import(consequence) is not None
    assert foreign_import(ImportError("elsewhere", path="/x/numpy/__init__.py")) is None
    assert foreign_import(ValueError(str(foreign / "numpy"))) is None


def test_an_architecture_is_missed_in_the_mlx_lm_that_is_looked_at(foreign: Path) -> None:
    program = (
        "from scorer.common.errors import InputError\n"
        "from scorer.models.architectures import architecture_of\n"
        "try: architecture_of({'model_type': 'llama'})\n"
        "except InputError as error: print(error.message, error.hint, sep='; ')\n"
    )
    path = os.pathsep.join([str(foreign), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"mlx-lm in `{foreign / 'mlx_lm'}` has no architecture `llama`;")
    assert "`unset PYTHONPATH`" in done.stdout
    assert architecture_of({"model_type": "llama"}) == "llama"


def test_the_whole_way(foreign: Path) -> None:
    shutil.rmtree(foreign / "mlx_lm")
    path = os.pathsep.join([str(foreign), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-P", "-m", "qfid_tui.cli", "kv", "demo"],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"error: `numpy` comes from `{foreign / 'numpy'}` and does not work" in done.stderr
    assert "hint: PYTHONPATH names that folder: `unset PYTHONPATH`" in done.stderr
