"""PyTorch is not imported because it is installed, and is there for those who use it."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from scorer_child import Child
from tiny_runs import Small

from scorer.lm import torch_later
from scorer.lm.torch_later import without_torch
from scorer.spec.events import Finished

NAME = "torch_of_tests"


def made(folder: Path, name: str) -> Path:
    """A package that says when it is imported; the file that it says so in."""
    package, said = folder / name, folder / "imported"
    package.mkdir()
    (package / "__init__.py").write_text(
        f"with open({str(said)!r}, 'a') as file: file.write('x')\n__version__ = '2.9.0'\n"
    )
    (package / "nn.py").write_text("Module = 7\n")
    info = folder / f"{name}-2.9.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 2.9.0\n")
    return said


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(torch_later, "_NAME", NAME)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield made(tmp_path, NAME)
    for name in [name for name in sys.modules if name.split(".")[0] == NAME]:
        del sys.modules[name]


def test_it_is_imported_by_those_who_use_it(said: Path) -> None:
    with torch_later.torch_later():
        held = importlib.import_module(NAME)
        assert importlib.util.find_spec(NAME) is not None
    assert not said.exists() and NAME not in sys.modules
    # A library that took it in the block finds every name, once it asks for one.
    assert held.__version__ == "2.9.0" and said.read_text() == "x"
    real = importlib.import_module(NAME)
    assert real is not held and sys.modules[NAME] is real and said.read_text() == "x"
    with torch_later.torch_later():
        assert importlib.import_module(NAME) is real


def test_it_may_be_used_in_the_block(said: Path) -> None:
    with torch_later.torch_later():
        held = importlib.import_module(NAME)
        assert importlib.import_module(f"{NAME}.nn").Module == 7
        assert held.nn.Module == 7
        with pytest.raises(AttributeError):
            _ = held.nothing
    assert said.read_text() == "x" and type(sys.modules[NAME]) is not type(held)


def test_it_may_not_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch_later, "_NAME", "not_installed")
    with torch_later.torch_later(), pytest.raises(ModuleNotFoundError):
        importlib.import_module("not_installed")


def test_a_process_of_ours_can_do_without(said: Path) -> None:
    without_torch()
    assert importlib.util.find_spec(NAME) is None
    with pytest.raises(ModuleNotFoundError), torch_later.torch_later():
        importlib.import_module(NAME)
    assert not said.exists()


def test_the_child_never_imports_it(small: Small, tmp_path: Path) -> None:
    said = made(tmp_path, "torch")
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    # With a folder of its own the child reads the tokenizer with transformers too, to compare.
    environ = {"PYTHONPATH": paths, "QFID_DATA_DIR": str(tmp_path / "data")}
    with Child(**environ) as child:
        child.send(small.job("8", max_chunks=1, chunk_length=40))
        assert isinstance(child.rest()[-1], Finished)
    assert not said.exists()
