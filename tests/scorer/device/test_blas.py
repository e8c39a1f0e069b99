"""Which BLAS is loaded, and that it is there before MLX; no timings."""

from __future__ import annotations

import ctypes
import itertools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from scorer.common.errors import InputError
from scorer.device import blas as cpu
from scorer.device.blas_trial import Trial

MKL, OPENBLAS, BLIS = "/v/lib/libmkl_rt.so.3", "/usr/lib/libopenblas.so.0", "/usr/lib/libblis.so"

linux = pytest.mark.skipif(platform.system() != "Linux", reason="Linux loads its BLAS itself")

# Notes which libraries are mapped at the moment mlx.core is first looked for.
WATCH = """
import json, sys
from pathlib import Path

class Watch:
    maps = None
    def find_spec(self, name, path=None, target=None):
        if name == "mlx.core" and Watch.maps is None:
            Watch.maps = Path("/proc/self/maps").read_text()
        return None

sys.meta_path.insert(0, Watch())
"""


def told(program: str, **environment: str) -> dict[str, object]:
    """The JSON object that a fresh interpreter prints last."""
    done = subprocess.run(
        [sys.executable, "-c", WATCH + program],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture
def fresh(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """As at the start of a Linux process: nothing chosen, MLX not imported, nothing wished."""
    monkeypatch.setattr(cpu, "_chosen", None)
    monkeypatch.setattr(platform, "system", lambda: "Linux")
    monkeypatch.delitem(sys.modules, "mlx.core", raising=False)
    monkeypatch.delenv("QFID_BLAS", raising=False)
    monkeypatch.setattr(cpu, "blas_files", lambda: [MKL, OPENBLAS, BLIS])
    monkeypatch.setattr(cpu, "tried", lambda _: Trial(works=True))
    return monkeypatch


def loader(works: Callable[[str], bool], loaded: list[tuple[str, int]]) -> Callable[..., None]:
    def load(name: str, mode: int = 0) -> None:
        if not works(name):
            raise OSError(f"{name}: cannot open shared object file")
        loaded.append((name, mode))

    return load


def test_a_blas_is_mapped_before_mlx_is_imported() -> None:
    program = """
from scorer.device.backend import start_backend
backend = start_backend()
print(json.dumps({"blas": backend.blas, "kind": backend.kind, "maps": Watch.maps or ""}))
"""
    if platform.system() != "Linux":
        pytest.skip("Linux loads its BLAS itself")
    found = told(program)
    assert found["kind"] in ("cpu", "cuda")
    part = {"MKL": "libmkl_rt", "OpenBLAS": "libopenblas", "BLIS": "libblis"}.get(
        str(found["blas"])
    )
    if part is None:
        pytest.skip(f"no tuned BLAS here: {found['blas']}")
    assert part in str(found["maps"])


@linux
def test_after_mlx_nothing_is_loaded_and_what_is_at_work_is_named() -> None:
    program = """
import mlx.core
from scorer.device.blas import preload_blas
print(json.dumps({"before": Watch.maps, "chosen": preload_blas().name,
                  "after": Path("/proc/self/maps").read_text()}))
"""
    found = told(program, QFID_BLAS="")
    if found["chosen"] != cpu.NONE_FOUND:
        pytest.skip("MLX itself brings a tuned BLAS here")
    assert "libmkl_rt" not in str(found["after"])
    # The other way round: loaded by the program, then MLX, then we are asked.
    if cpu._first_that_works().name != cpu.NONE_FOUND:
        name = told(
            "from scorer.device import blas as cpu\ncpu.preload_blas()\ncpu._chosen = None\n"
            "import mlx.core\n"
            'print(json.dumps({"chosen": cpu.preload_blas().name}))'
        )["chosen"]
        assert name in ("MKL", "OpenBLAS", "BLIS")


def test_looking_for_a_blas_imports_no_mlx() -> None:
    program = """
import scorer.device.blas
scorer.device.blas.preload_blas()
print(json.dumps({"mlx": [name for name in sys.modules if name.startswith(("mlx", "numpy"))]}))
"""
    assert told(program)["mlx"] == []


def test_macos_needs_none(fresh: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, int]] = []
    fresh.setattr(platform, "system", lambda: "Darwin")
    fresh.setattr(ctypes, "CDLL", loader(lambda name: True, loaded))
    assert cpu.preload_blas().name == "Accelerate"
    assert not loaded


def test_the_first_library_that_loads_is_taken_for_everyone(fresh: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, int]] = []
    fresh.setattr(ctypes, "CDLL", loader(lambda name: "mkl" not in name, loaded))
    assert cpu.preload_blas() is cpu.preload_blas()
    assert cpu.preload_blas() == cpu.BlasChoice("OpenBLAS")
    assert loaded == [(OPENBLAS, ctypes.RTLD_GLOBAL)]


def test_none_that_loads(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(ctypes, "CDLL", loader(lambda name: False, []))
    assert cpu.preload_blas().name == cpu.NONE_FOUND == "none found"


def test_one_that_cannot_multiply_is_left_out_and_the_variable_named(
    fresh: pytest.MonkeyPatch,
) -> None:
    loaded: list[tuple[str, int]] = []
    trials = {
        MKL: Trial(works=False, variable="MKL_THREADING_LAYER", said="cannot load libtbb"),
        OPENBLAS: Trial(works=False, loads=False),
        BLIS: Trial(works=True),
    }
    fresh.setattr(cpu, "tried", trials.__getitem__)
    fresh.setattr(ctypes, "CDLL", loader(lambda name: True, loaded))
    fresh.setenv("MKL_THREADING_LAYER", "TBB")
    chosen = cpu.preload_blas()
    assert chosen.name == "BLIS" and loaded == [(BLIS, ctypes.RTLD_GLOBAL)]
    (unusable,) = chosen.unusable
    assert unusable.described() == (
        "MKL cannot multiply while MKL_THREADING_LAYER is `TBB`: cannot load libtbb",
        "unset MKL_THREADING_LAYER",
    )
    # Named by the user it is refused, and nothing else is taken.
    fresh.setattr(cpu, "_chosen", None)
    fresh.setenv("QFID_BLAS", MKL)
    with pytest.raises(InputError, match=r"MKL_THREADING_LAYER is `TBB`.*; QFID_BLAS names it"):
        cpu.preload_blas()
    assert len(loaded) == 1


def test_one_that_fails_for_no_known_reason(fresh: pytest.MonkeyPatch) -> None:
    fresh.setattr(cpu, "blas_files", lambda: [MKL, "/other/libmkl_rt.so"])
    fresh.setattr(cpu, "tried", lambda _: Trial(works=False))
    chosen = cpu.preload_blas()
    assert chosen.name == cpu.NONE_FOUND
    (unusable,) = chosen.unusable
    message, hint = unusable.described()
    assert f"cannot multiply ({MKL})" in message and "QFID_BLAS=none" in hint


@pytest.mark.parametrize(
    ("wish", "name"),
    [
        ("/opt/lib/libopenblas.so.0", "OpenBLAS"),
        ("/opt/intel/libmkl_rt.so", "MKL"),
        ("/usr/lib/libblis.so.4", "BLIS"),
        ("/usr/lib/libarmpl_lp64.so", "libarmpl_lp64.so"),
    ],
)
def test_a_library_that_was_named_is_the_only_one_tried(
    fresh: pytest.MonkeyPatch, wish: str, name: str
) -> None:
    loaded: list[tuple[str, int]] = []
    fresh.setenv("QFID_BLAS", wish)
    fresh.setattr(ctypes, "CDLL", loader(lambda name: True, loaded))
    assert cpu.preload_blas().name == name
    assert loaded == [(wish, ctypes.RTLD_GLOBAL)]


def test_none_can_be_wished_for(fresh: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, int]] = []
    fresh.setenv("QFID_BLAS", "none")
    fresh.setattr(ctypes, "CDLL", loader(lambda name: True, loaded))
    assert cpu.preload_blas().name == cpu.NONE_FOUND
    assert not loaded


def test_a_wish_that_does_not_load_is_told_every_time(fresh: pytest.MonkeyPatch) -> None:
    fresh.setenv("QFID_BLAS", "/nowhere/libopenblas.so")
    for _ in range(2):
        with pytest.raises(InputError, match=r"`/nowhere/libopenblas.so` named by QFID_BLAS"):
            cpu.preload_blas()


def test_after_mlx_a_wish_comes_too_late(fresh: pytest.MonkeyPatch) -> None:
    loaded: list[tuple[str, int]] = []
    fresh.setitem(sys.modules, "mlx.core", object())
    fresh.setenv("QFID_BLAS", "/opt/lib/libopenblas.so.0")
    fresh.setattr(ctypes, "CDLL", loader(lambda name: True, loaded))
    fresh.setattr(cpu, "_loaded_blas", lambda: "MKL")
    assert cpu.preload_blas() == cpu.BlasChoice("MKL")
    assert not loaded


@pytest.mark.parametrize(("wish", "late"), [("", OPENBLAS), ("none", None)])
def test_after_mlx_the_library_that_comes_too_late_is_known(
    fresh: pytest.MonkeyPatch, wish: str, late: str | None
) -> None:
    fresh.setitem(sys.modules, "mlx.core", object())
    fresh.setenv("QFID_BLAS", wish)
    fresh.setattr(cpu, "_loaded_blas", lambda: None)
    fresh.setattr(cpu, "tried", lambda file: Trial(works=file != MKL))
    assert cpu.preload_blas() == cpu.BlasChoice(cpu.NONE_FOUND, late=late)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("7f00 r-xp /venv/lib/libmkl_rt.so.3", "MKL"),
        ("7f00 r-xp /usr/lib/libopenblas.so.0", "OpenBLAS"),
        ("7f00 r-xp /usr/lib/openblas-pthread/libopenblasp-r0.3.21.so", "OpenBLAS"),
        ("7f00 r-xp /usr/lib/openblas-serial/libopenblas-r0.3.21.so", "OpenBLAS"),
        ("7f00 r-xp /usr/lib/libblis.so.4", "BLIS"),
        # NumPy's own, whose symbols have other names: MLX does not call it.
        ("7f00 r-xp /venv/numpy.libs/libscipy_openblas64_-fdde5778.so", None),
        ("7f00 r-xp /venv/numpy.libs/libopenblas64_p-r0-0cf96a72.3.23.dev.so", None),
        ("7f00 r-xp /usr/lib/libblas.so.3", None),
    ],
)
def test_what_is_mapped_is_recognised(
    line: str, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "read_text", lambda self: line)
    assert cpu._loaded_blas() == name


def test_no_list_of_what_is_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(self: Path) -> str:
        raise FileNotFoundError(self)

    monkeypatch.setattr(Path, "read_text", missing)
    assert cpu._loaded_blas() is None


def test_the_timed_product_takes_time() -> None:
    assert 0 < cpu.matmul_seconds(16) < 60


def test_waiting_for_a_busy_machine_is_no_slow_matmul(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wall time stands still for seconds between two looks; CPU time goes on by milliseconds."""
    wall, own = itertools.count(0.0, 5.0), itertools.count(0.0, 0.002)
    monkeypatch.setattr(cpu.time, "perf_counter", lambda: next(wall))
    monkeypatch.setattr(cpu.time, "process_time", lambda: next(own))
    assert cpu.matmul_seconds(16) == pytest.approx(0.002)
