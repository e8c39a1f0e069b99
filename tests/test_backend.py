"""MLX made ready: the device, its libraries and its memory, and what is said where it lacks one."""

from __future__ import annotations

import dataclasses
import io
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from child_process import Child
from small_runs import Small

from scorer import __version__, backend
from scorer.backend import host_memory, memory_in_use, missing_backend, peak_memory, start_backend
from scorer.events import Failed, Hello, Warned
from scorer.score import hello, score

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


def test_products_are_full_float32_and_nothing_behind_a_path_asks_the_network() -> None:
    start_backend()
    assert os.environ["MLX_ENABLE_TF32"] == "0" and os.environ["HF_HUB_OFFLINE"] == "1"


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
    assert "pip install qfid" in failure.hint or "qfid[cpu]" in failure.hint


@pytest.mark.parametrize(
    ("system", "hint"),
    [("Darwin", "install plain `pip install qfid`"), ("Linux", "`qfid[cuda12]`")],
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


def test_a_slow_product_is_a_warning_with_the_remedy(
    small: Small, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seconds, slow in ((0.05, True), (0.005, False), (None, False)):
        known = dataclasses.replace(start_backend(), matmul_seconds=seconds, blas="none found")
        assert known.slow_blas is slow
        with monkeypatch.context() as patch:
            patch.setattr(backend, "start_backend", lambda known=known: known)
            warnings = [
                event
                for event in score(small.job("8", max_chunks=1, chunk_length=40))
                if isinstance(event, Warned)
            ]
        assert len(warnings) == slow
        if slow:
            assert "matrix products are slow here" in warnings[0].message
            assert "50 ms" in warnings[0].message and "pip install mkl" in warnings[0].hint


FILES = {
    "/proc/meminfo": "MemTotal: 16000 kB\nMemFree: 1 kB\nMemAvailable: 8000 kB\n",
}


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (16000, 8000)),
        ({"memory.max": "max\n", "memory.current": "5000\n"}, (16000, 8000)),
        ({"memory.max": "4096000\n", "memory.current": "1024000\n"}, (4000, 3000)),
        ({"memory.max": "4096000\n", "memory.current": "9999999\n"}, (4000, 0)),
        # A group larger than the machine limits nothing, as version 1 says "no limit".
        (
            {
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/memory.usage_in_bytes": "1\n",
            },
            (16000, 8000),
        ),
        (
            {
                "memory/memory.limit_in_bytes": "2048000\n",
                "memory/memory.usage_in_bytes": "1024000\n",
            },
            (2000, 1000),
        ),
        ({"memory.max": "garbage\n", "memory.current": "1\n"}, (16000, 8000)),
    ],
)
def test_memory_is_the_control_groups_where_it_is_less(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: tuple[int, int]
) -> None:
    """Sizes in KiB."""
    held = FILES | {f"/sys/fs/cgroup/{name}": text for name, text in files.items()}

    def opened(path: str, **_: Any) -> io.StringIO:
        if path not in held:
            raise FileNotFoundError(path)
        return io.StringIO(held[path])

    monkeypatch.setattr(backend, "open", opened, raising=False)
    assert tuple(size // 1024 for size in host_memory()) == expected


def test_memory_without_proc_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str, **_: Any) -> io.StringIO:
        raise FileNotFoundError(path)

    monkeypatch.setattr(backend, "open", missing, raising=False)
    total, free = host_memory()
    assert total == free == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory_in_use() > 0


def test_memory_in_use_grows_with_what_is_held() -> None:
    before = memory_in_use()
    held = mx.ones((32 << 20,), mx.float32)
    mx.eval(held)
    assert memory_in_use() - before > 100 << 20
    assert peak_memory() >= memory_in_use() - (64 << 20)


def test_the_device_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backend, "preload_blas", lambda: "n/a")
    start_backend.cache_clear()
    monkeypatch.setenv("QFID_DEVICE", "cpu")
    try:
        assert start_backend().kind == "cpu"
    finally:
        start_backend.cache_clear()


@pytest.mark.parametrize("name", ["tpu", "CPU", "0"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    (failure,), code = probe(QFID_DEVICE=name)
    assert isinstance(failure, Failed)
    assert (code, failure.exit_code) == (2, 2)
    assert f"no device `{name}`" in failure.message and "`cpu`, `gpu`" in failure.hint


def test_compiled_kernels_outlive_the_temporary_folder() -> None:
    start_backend()
    assert "cuda-kernels" in os.environ["MLX_PTX_CACHE_DIR"]
