"""Which BLAS multiplies: what the loaded libraries say of themselves."""

from __future__ import annotations

import ctypes
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scorer.device import blas_version
from scorer.device.backend import start_backend
from scorer.device.blas import NONE_FOUND
from scorer.device.blas_version import described, numpy_blas


def returning(text: bytes | None) -> Callable[[], bytes | None]:
    def function() -> bytes | None:
        return text

    return function


def mkl(text: bytes) -> Callable[[Any, int], None]:
    def function(buffer: Any, length: int) -> None:
        buffer.value = text[:length]

    return function


@pytest.mark.parametrize(
    ("file", "functions", "name"),
    [
        (
            "numpy.libs/libscipy_openblas64_-32a4b2a6.so",
            {
                "scipy_openblas_get_config64_": returning(b"OpenBLAS 0.3.31.188.0  USE64BITINT"),
                "scipy_openblas_get_corename64_": returning(b"SkylakeX"),
            },
            "OpenBLAS 0.3.31.188.0 (SkylakeX)",
        ),
        (
            "/usr/lib/libopenblasp-r0.3.21.so",
            {"openblas_get_config": returning(b"OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH Zen")},
            "OpenBLAS 0.3.21",
        ),
        ("old/libopenblas.so", {"openblas_get_config": returning(b"NO_AFFINITY")}, "OpenBLAS"),
        (
            "lib/libmkl_rt.so.3",
            {
                "MKL_Get_Version_String": mkl(
                    b"Intel(R) oneAPI Math Kernel Library Version 2026.2-Product Build 20260801"
                )
            },
            "MKL 2026.2",
        ),
        ("libblis.so.4", {"bli_info_get_version_str": returning(b"0.9.0")}, "BLIS 0.9.0"),
        ("mlx.libs/libblas-bd8a282c.so.3.10.0", {}, "libblas-bd8a282c.so.3.10.0"),
    ],
)
def test_a_library_says_its_version(
    monkeypatch: pytest.MonkeyPatch, file: str, functions: dict[str, Any], name: str
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda file: SimpleNamespace(**functions))
    assert described(file) == name


def test_accelerate_is_that_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "mac_ver", lambda: ("26.1", ("", "", ""), "arm64"))
    library = "/System/Library/Frameworks/Accelerate.framework/Versions/A/libBLAS.dylib"
    assert described(library) == "Accelerate of macOS 26.1"


def test_numpys_own_is_told_from_the_one_that_mlx_was_given() -> None:
    config = np.__config__.CONFIG["Build Dependencies"]["blas"]  # type: ignore[attr-defined]
    if config["name"] != "scipy-openblas":
        pytest.skip("NumPy brings no BLAS of its own here")
    found = numpy_blas()
    assert found is not None and found.startswith(f"OpenBLAS {config['version']} (")
    backend = start_backend()
    assert backend.numpy_blas == (found if backend.kind == "cpu" else None)
    if backend.kind == "cpu" and backend.blas != NONE_FOUND:
        assert backend.mlx_blas is not None and backend.mlx_blas.startswith(backend.blas)


@pytest.mark.skipif(platform.system() != "Linux", reason="Linux loads its BLAS itself")
def test_without_a_tuned_one_mlx_multiplies_with_a_file_of_its_own() -> None:
    program = """
import json
from scorer.device.blas import preload_blas
preload_blas()
from scorer.device.blas_version import mlx_blas
print(json.dumps(mlx_blas()))
"""
    environment = {**os.environ, "QFID_BLAS": "none"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True)
    found = json.loads(done.stdout)
    assert found is None or "MKL" not in found


def test_where_no_library_has_the_product_nothing_is_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda file: SimpleNamespace())
    assert blas_version._named("core.so", ("cblas_sgemm64_",)) is None

    def refuses(file: str | None) -> None:
        raise OSError("cannot open")

    monkeypatch.setattr(ctypes, "CDLL", refuses)
    assert blas_version._named("core.so", ()) is None
