"""The arithmetic of the GPU kernels, compiled for the host."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest
from project import ROOT, SUPPORT

SOURCES = [ROOT / "scorer" / room / "source" for room in ("metrics", "quantizers")]


def host_library(source: str, folder: Path) -> ctypes.CDLL:
    """A C++ file of the tests around the kernels' headers; skips where there is no compiler."""
    compiler = shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        pytest.skip("no C++ compiler to build the arithmetic with")
    out = folder / "library.so"
    # No fused multiply-add: numbers that do not depend on the processor.
    options = ["-O1", "-shared", "-fPIC", "-ffp-contract=off", "-Wall", "-Werror"]
    file = SUPPORT / source
    include = [f"-I{folder}" for folder in SOURCES]
    subprocess.run([compiler, *options, *include, "-o", out, file], check=True)
    return ctypes.CDLL(str(out))
