"""Why products of MLX are slow on this machine, and what is advised."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest

from scorer.device import backend, slow_products
from scorer.device.backend import Backend
from scorer.device.blas import NONE_FOUND, UnusableBlas
from scorer.device.slow_products import slow_products as advice

MKL = "/v/lib/libmkl_rt.so.3"


def of(blas: str, **more: object) -> Backend:
    return Backend("cpu", "Test CPU", 1, 1, blas, {}, "numpy", **more)  # type: ignore[arg-type]


@pytest.fixture
def takes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    for name in ("QFID_BLAS", *slow_products._THREAD_LIMITS):
        monkeypatch.delenv(name, raising=False)
    return lambda seconds: monkeypatch.setattr(backend, "product_seconds", lambda: seconds)


def test_fast_products_and_a_gpu_are_no_matter(takes: Callable[[float], None]) -> None:
    takes(0.002)
    assert advice(of("MKL")) is advice(of(NONE_FOUND)) is None
    takes(0.048)
    assert advice(Backend("cuda", "H", 1, 1, "n/a", {})) is None


@pytest.mark.parametrize(
    ("system", "machine", "fix"),
    [("Linux", "x86_64", "-m pip install mkl`"), ("Linux", "aarch64", "OpenBLAS")],
)
def test_reference_blas(
    takes: Callable[[float], None],
    monkeypatch: pytest.MonkeyPatch,
    system: str,
    machine: str,
    fix: str,
) -> None:
    takes(0.048)
    monkeypatch.setattr(platform, "system", lambda: system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    what, hint = advice(of(NONE_FOUND)) or ("", "")
    assert "reference BLAS" in what and "48 ms" in what and fix in hint


def test_mkl_that_is_there_is_not_installed_again(takes: Callable[[float], None]) -> None:
    takes(0.048)
    broken = UnusableBlas("MKL", MKL, "MKL_THREADING_LAYER", "")
    assert (advice(of(NONE_FOUND, unusable_blas=(broken,))) or ("", ""))[1] == (
        "unset MKL_THREADING_LAYER"
    )


def test_mlx_that_was_imported_too_early(takes: Callable[[float], None]) -> None:
    takes(0.048)
    what, hint = advice(of(NONE_FOUND, late_blas=MKL)) or ("", "")
    assert "MLX was imported before MKL" in what and f"LD_PRELOAD={MKL}" in hint


def test_a_fast_blas_that_is_slow(
    takes: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    takes(0.1)
    what, hint = advice(of("MKL")) or ("", "")
    assert "although MKL is loaded" in what and "other programs" in hint
    monkeypatch.setattr(slow_products, "core_count", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert (advice(of("MKL")) or ("", ""))[1] == "unset OMP_NUM_THREADS"
    monkeypatch.setenv("QFID_BLAS", "none")
    assert (advice(of("MKL")) or ("", ""))[1] == "unset QFID_BLAS"
