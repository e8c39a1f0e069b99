"""A BLAS that ends the process that calls it is found out without harm, and once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scorer.common.folders import cache_folder
from scorer.device import blas_trial
from scorer.device.blas_trial import Trial, tried

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux loads its BLAS itself")

# Multiplies ones of 256 × 256 unless a variable makes it end the process, fail or stop, as MKL's.
SOURCE = """
#include <cstdio>
#include <cstdlib>
#include <cstring>
extern "C" void cblas_sgemm(int, int, int, int m, int n, int k, float, const float *, int,
                            const float *, int, float, float *out, int) {
    const char *layer = std::getenv("MKL_THREADING_LAYER");
    if (layer && !std::strcmp(layer, "TBB")) {
        std::puts("FATAL ERROR: Cannot load libtbb.");
        std::exit(2);
    }
    if (layer && !std::strcmp(layer, "CRASH")) std::abort();
    float value = layer && !std::strcmp(layer, "WRONG") ? 1.0f : k;
    for (int i = 0; i < m * n; i++) out[i] = value;
}
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler to build a library with")
    folder = tmp_path_factory.mktemp("blas")
    (folder / "blas.cpp").write_text(SOURCE)
    library = folder / "libmkl_rt.so.3"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, folder / "blas.cpp"], check=True)
    return library


@pytest.fixture(autouse=True)
def _nothing_kept(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path_factory.mktemp("data")))


@pytest.fixture
def library(built: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    for name in blas_trial._read_by_libraries():
        monkeypatch.delenv(name)
    return str(built)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is tried in a process, in order."""
    found: list[str] = []
    once = blas_trial._once

    def counted(file: str, environment: dict[str, str]) -> Trial:
        found.append(file)
        return once(file, environment)

    monkeypatch.setattr(blas_trial, "_once", counted)
    return found


def test_one_that_works_is_tried_once(library: str, started: list[str]) -> None:
    assert tried(library) == tried(library) == Trial(works=True)
    assert started == [library]
    # Another state of the file is another library.
    os.utime(library, ns=(1, 1))
    assert tried(library).works and len(started) == 2


@pytest.mark.parametrize(
    ("layer", "said"),
    [("TBB", "FATAL ERROR: Cannot load libtbb."), ("CRASH", ""), ("WRONG", "wrong")],
)
def test_the_variable_at_fault_is_found_once(
    library: str, started: list[str], monkeypatch: pytest.MonkeyPatch, layer: str, said: str
) -> None:
    monkeypatch.setenv("KMP_BLOCKTIME", "0")
    monkeypatch.setenv("MKL_THREADING_LAYER", layer)
    found = Trial(works=False, variable="MKL_THREADING_LAYER", said=said)
    assert tried(library) == tried(library) == found
    assert len(started) == 3
    # Without the variable it is used again.
    monkeypatch.delenv("MKL_THREADING_LAYER")
    assert tried(library).works


def test_what_nothing_explains_is_tried_again(
    library: str, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blas_trial, "_PROGRAM", "import sys; sys.exit('too little memory')")
    for times in (1, 2):
        assert tried(library) == Trial(works=False, said="too little memory")
        assert len(started) == times


def test_a_file_that_is_no_library_is_passed_over(tmp_path: Path, started: list[str]) -> None:
    text = tmp_path / "libopenblas.so.0"
    text.write_text("no library")
    assert tried(str(text)) == tried(str(text)) == Trial(works=False, loads=False)
    assert len(started) == 1


def test_what_is_kept_may_be_damaged_or_unwritable(
    library: str, started: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert tried(library).works
    (kept,) = (cache_folder() / "blas").iterdir()
    for damage in (b"", b"{}", b'{"trial": [1, 2, 3, 4]}', b'{"trial": [true, true, 1, ""]}'):
        kept.write_bytes(damage)
        assert tried(library).works
    assert len(started) == 5
    (tmp_path / "file").touch()
    monkeypatch.setenv("QFID_DATA_DIR", str(tmp_path / "file"))
    assert tried(library).works and len(started) == 6


def test_where_no_process_can_be_started_the_library_is_taken(
    library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert tried(library).works


def test_one_that_never_ends(library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas_trial, "_SECONDS", 0.1)
    monkeypatch.setattr(blas_trial, "_PROGRAM", "import time; time.sleep(60)")
    assert tried(library) == Trial(works=False, said="it does not multiply within 0 seconds")
