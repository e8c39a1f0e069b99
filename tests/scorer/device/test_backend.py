"""MLX made ready: the device, its libraries and its memory, and what is said where it lacks one."""

from __future__ import annotations

import dataclasses
import os
import platform
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from scorer_child import Child
from tiny_runs import Small

from scorer import __version__
from scorer.device import backend
from scorer.device.backend import Backend, missing_backend, running_backend, start_backend
from scorer.device.blas import BlasChoice, UnusableBlas
from scorer.device.host_memory import host_memory
from scorer.device.memory import limit_metal_memory, memory_in_use, peak_memory
from scorer.score import hello, score
from scorer.spec.events import Failed, Hello, Warned
from scorer.spec.job import Job

linux = pytest.mark.skipif(platform.system() != "Linux", reason="Linux loads its BLAS itself")


def probe(**environ: str) -> tuple[list[Any], int]:
    with Child("--probe", **environ) as child:
        return child.rest(), child.code()


def test_the_backend_knows_its_device_and_versions() -> None:
    found = start_backend()
    assert found is start_backend()
    gpu = mx.default_device() == mx.gpu
    assert found.kind in (("metal", "cuda") if gpu else ("cpu",)) and found.name
    assert found.memory_total >= found.memory_free > 0
    assert found.versions == {
        "qfid": __version__,
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "mlx": version("mlx"),
        "mlx-lm": version("mlx-lm"),
    }


def test_hello_says_what_the_backend_is() -> None:
    found = start_backend()
    assert hello(found) == Hello(
        found.kind, found.name, found.memory_total, found.memory_free, found.blas, found.versions
    )


def test_products_are_full_float32() -> None:
    with running_backend():
        assert os.environ["MLX_ENABLE_TF32"] == "0"


def test_a_missing_backend_is_one_line_with_the_extra_that_brings_it(tmp_path: Path) -> None:
    # What `pip install qfid` without an extra leaves on Linux: a package mlx without its core.
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx" / "__init__.py").write_text("")
    (tmp_path / "mlx" / "core.py").write_text("raise ImportError('libmlx.so: cannot open')")
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    (failure,), code = probe(PYTHONPATH=path)
    assert isinstance(failure, Failed)
    assert (code, failure.exit_code) == (2, 2)
    assert (failure.message, failure.hint) == (missing_backend().message, missing_backend().hint)
    # Names what a registry has, for this Python.
    assert failure.hint.startswith(f"{sys.executable} -m pip install ")
    assert "qfid[" not in failure.hint


@pytest.mark.parametrize(
    ("system", "hint"),
    [("Darwin", "-m pip install mlx"), ("Linux", "-m pip install 'mlx[cpu]'; ")],
)
def test_the_extra_named_is_that_of_the_platform(
    monkeypatch: pytest.MonkeyPatch, system: str, hint: str
) -> None:
    monkeypatch.setattr(platform, "system", lambda: system)
    assert hint in missing_backend().hint


@linux
def test_a_blas_that_was_named_and_does_not_load_is_a_wrong_input() -> None:
    (failure,), code = probe(QFID_BLAS="/nowhere/libblas.so")
    assert isinstance(failure, Failed) and (code, failure.exit_code) == (2, 2)
    assert "`/nowhere/libblas.so` named by QFID_BLAS does not load" in failure.message


@linux
def test_no_blas_can_be_asked_for() -> None:
    (found,), code = probe(QFID_BLAS="none")
    assert isinstance(found, Hello) and code == 0
    if found.device == "cpu":
        assert found.blas == "none found"


def warnings_of(job: Job, patch: pytest.MonkeyPatch, known: Backend) -> list[Warned]:
    with patch.context() as inside:
        inside.setattr(backend, "start_backend", lambda: known)
        return [event for event in score(job) if isinstance(event, Warned)]


def test_slow_products_are_warned_of_where_scoring_uses_them(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = dataclasses.replace(
        start_backend(), blas="none found", unusable_blas=(), late_blas=None
    )
    numpy, in_mlx = (dataclasses.replace(known, arithmetic=name) for name in ("numpy", "mlx"))
    plain = small.job("8", max_chunks=1, chunk_length=40)
    cases = [
        (plain, numpy, 0.05, known.kind != "cpu"),
        (plain, in_mlx, 0.05, True),
        (plain, in_mlx, 0.005, False),
        (plain, in_mlx, None, False),
        (dataclasses.replace(plain, kernel="mlx-lm"), numpy, 0.05, True),
    ]
    for job, device, seconds, slow in cases:
        monkeypatch.setattr(Backend, "matmul_seconds", property(lambda _, s=seconds: s))
        found = warnings_of(job, monkeypatch, device)
        assert len(found) == slow
        if slow:
            assert "MLX multiplies" in found[0].message and "50 ms" in found[0].message
            assert found[0].hint


def test_a_blas_that_cannot_work_is_warned_of(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = UnusableBlas("MKL", "/v/libmkl_rt.so.3", "MKL_THREADING_LAYER", "")
    known = dataclasses.replace(start_backend(), unusable_blas=(broken,))
    (found,) = warnings_of(small.job("8", max_chunks=1, chunk_length=40), monkeypatch, known)
    assert (found.message, found.hint) == broken.described()


def test_memory_in_use_grows_with_what_is_held() -> None:
    before = memory_in_use()
    held = mx.ones((32 << 20,), mx.float32)
    mx.eval(held)
    assert memory_in_use() - before > 100 << 20
    assert peak_memory() >= memory_in_use() - (64 << 20)


def test_the_device_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "preload_blas", lambda: BlasChoice("n/a"))
    backend._describe.cache_clear()
    monkeypatch.setenv("QFID_DEVICE", "cpu")
    try:
        assert start_backend().kind == "cpu"
    finally:
        backend._describe.cache_clear()


@pytest.mark.parametrize("name", ["tpu", "CPU", "0"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    (failure,), code = probe(QFID_DEVICE=name)
    assert isinstance(failure, Failed)
    assert (code, failure.exit_code) == (2, 2)
    assert f"no device `{name}`" in failure.message and "`cpu`, `gpu`" in failure.hint


def test_compiled_kernels_outlive_the_temporary_folder() -> None:
    with running_backend():
        assert "cuda-kernels" in os.environ["MLX_PTX_CACHE_DIR"]


GIB = 1 << 30


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int]]:
    """What MLX's limits are set to, in order; this machine may have no Metal."""
    found: list[tuple[str, int]] = []
    for name in ("set_memory_limit", "set_wired_limit"):
        monkeypatch.setattr(mx, name, lambda size, name=name: found.append((name, size)) or GIB)
    return found


def test_metal_is_limited_to_its_own_figure(limits: list[tuple[str, int]]) -> None:
    give_back = limit_metal_memory({"max_recommended_working_set_size": 11 * GIB})
    assert limits == [("set_memory_limit", 11 * GIB), ("set_wired_limit", 11 * GIB)]
    give_back()
    assert limits[2:] == [("set_memory_limit", GIB), ("set_wired_limit", GIB)]


def test_a_device_without_a_figure_is_not_limited(limits: list[tuple[str, int]]) -> None:
    limit_metal_memory({"device_name": "none"})
    assert limits == []


def test_a_system_that_cannot_wire_memory_still_scores(
    limits: list[tuple[str, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: int) -> None:
        raise ValueError("[metal::set_wired_limit] not on this system")

    monkeypatch.setattr(mx, "set_wired_limit", refused)
    limit_metal_memory({"max_recommended_working_set_size": GIB})
    assert limits == [("set_memory_limit", GIB)]


@pytest.fixture
def metal(monkeypatch: pytest.MonkeyPatch, limits: list[tuple[str, int]]) -> Iterator[None]:
    """MLX as it looks on a Mac; nothing is computed with it."""
    info = {"device_name": "Apple M9", "max_recommended_working_set_size": 11 * GIB}
    monkeypatch.delenv("QFID_DEVICE", raising=False)
    monkeypatch.setattr(backend, "preload_blas", lambda: BlasChoice("Accelerate"))
    monkeypatch.setattr(mx, "default_device", lambda: mx.gpu)
    monkeypatch.setattr(mx.cuda, "is_available", lambda: False)
    monkeypatch.setattr(mx, "device_info", lambda: info)
    monkeypatch.setattr(mx, "get_active_memory", lambda: 3 * GIB)
    # What is known of this machine is not taken for the Mac's, nor the other way round.
    for known in (backend._import_mlx, backend._describe):
        known.cache_clear()
    yield
    for known in (backend._import_mlx, backend._describe):
        known.cache_clear()


@pytest.mark.usefixtures("metal")
def test_metal_is_limited_before_anything_is_loaded(limits: list[tuple[str, int]]) -> None:
    with running_backend() as found:
        assert (found.kind, found.name) == ("metal", "Apple M9")
        assert (found.memory_total, found.memory_free) == (11 * GIB, 8 * GIB)
        assert [name for name, _ in limits] == ["set_memory_limit", "set_wired_limit"]
    assert limits[2:] == [("set_memory_limit", GIB), ("set_wired_limit", GIB)]


@pytest.mark.parametrize(
    ("active", "cached", "free"), [(0, 0, 70), (5, 3, 73), (5, 20, 75), (90, 0, 0)]
)
def test_free_memory_of_a_card_counts_what_mlx_holds_for_reuse(
    monkeypatch: pytest.MonkeyPatch, active: int, cached: int, free: int
) -> None:
    info = {"total_memory": 80 * GIB, "free_memory": 70 * GIB}
    monkeypatch.setattr(mx, "device_info", lambda: info)
    monkeypatch.setattr(mx, "get_active_memory", lambda: active * GIB)
    monkeypatch.setattr(mx, "get_cache_memory", lambda: cached * GIB)
    assert backend.device_memory("cuda") == (80 * GIB, free * GIB)


def test_free_memory_on_the_cpu_is_that_of_the_machine() -> None:
    assert backend.device_memory("cpu").total == host_memory().total
