"""``qfid doctor``: what is found out about a machine, and what is advised."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_saved_runs import save_run
from fake_hub_cache import model_files, write_repo

from qfid_tui.cli import main
from qfid_tui.cli.doctor_report import examine_in_child, to_markdown
from qfid_tui.process import scorer_process
from scorer import __version__
from scorer.child import doctor
from scorer.child.doctor import examine
from scorer.common.errors import QfidError
from scorer.common.folders import runs_folder
from scorer.device import backend
from scorer.device.backend import Backend, missing_backend
from scorer.device.blas import NONE_FOUND, UnusableBlas
from scorer.metrics import fused_selftest
from scorer.models.hub_cache import hub_folder
from scorer.quantizers import affine_fused as fused_quantizer

GIB = 1 << 30
linux = pytest.mark.skipif(platform.system() != "Linux", reason="Linux loads its BLAS itself")

GOOD = Backend("cpu", "Test CPU", 16 * GIB, 8 * GIB, "MKL", {}, "numpy")


def findings(monkeypatch: pytest.MonkeyPatch, backend: Backend) -> list[dict[str, str]]:
    monkeypatch.setattr(doctor, "start_backend", lambda: backend)
    found: list[dict[str, str]] = examine()["findings"]
    return found


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with nothing to complain about but what a test adds."""
    usage = shutil._ntuple_diskusage(900 * GIB, 400 * GIB, 500 * GIB)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    monkeypatch.setattr(doctor, "_NVIDIA", tmp_path / "no-driver")
    monkeypatch.setattr(backend, "product_seconds", lambda: 0.002)
    for name in ("QFID_BLAS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)


def test_the_whole_way_through_the_child(capfd: pytest.CaptureFixture[str]) -> None:
    write_repo(hub_folder(), "org/model", model_files())
    save_run()
    assert main(["doctor", "--format", "json"]) == 0
    out, err = capfd.readouterr()
    found = json.loads(out)
    assert err == "" and found["error"] is None
    assert found["device"]["kind"] in ("cpu", "cuda", "metal") and found["device"]["name"]
    if found["device"]["kind"] == "cpu":
        assert 0 < found["matmul"]["seconds"] < 60
        assert found["matmul"]["gflops"] == pytest.approx(
            2 * 512**3 / found["matmul"]["seconds"] / 1e9
        )
    assert found["memory"]["total"] >= found["memory"]["free"] > 0
    assert found["versions"]["qfid"] == __version__
    assert found["versions"]["python"] == platform.python_version()
    assert all(found["versions"][name] for name in ("mlx", "mlx-lm", "numpy", "huggingface-hub"))
    # What extras bring is named where it is installed.
    has_gguf = importlib.util.find_spec("gguf") is not None
    assert bool(found["versions"].get("gguf")) == has_gguf == ("gguf" in found["versions"])
    cache, runs = found["model_cache"], found["runs"]
    assert (cache["path"], cache["entries"]) == (str(hub_folder()), 1) and cache["bytes"] > 100
    assert (runs["path"], runs["entries"]) == (str(runs_folder()), 1) and runs["bytes"] > 100
    assert found["offline"] is True


def test_markdown_says_the_same(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor"]) == 0
    out, err = capfd.readouterr()
    assert out.startswith("# qfid doctor\n") and err == ""
    for name in ("device", "BLAS", "attention", "memory", "versions", "model cache", "saved runs"):
        assert f"- **{name}** " in out
    assert str(hub_folder()) in out and f"qfid {__version__}" in out
    assert "`HF_HUB_OFFLINE` is set" in out


def test_without_a_backend_one_line_says_which_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mlx").mkdir()
    (tmp_path / "mlx" / "__init__.py").write_text("")
    (tmp_path / "mlx" / "core.py").write_text("raise ImportError('libmlx.so: cannot open')")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    assert main(["doctor"]) == 2
    out, err = capfd.readouterr()
    error = missing_backend()
    assert err == f"error: {error.message}\nhint: {error.hint}\n"
    assert "**Cannot score here**" in out and "- **device** —" in out and "- **memory** " in out
    assert main(["doctor", "--format", "json"]) == 2
    found = json.loads(capfd.readouterr().out)
    assert found["error"] == {"message": error.message, "hint": error.hint}
    assert found["device"] is found["blas"] is found["matmul"] is None


def test_no_mlx_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] == 'mlx':\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
    )
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), *sys.path]))
    assert main(["doctor"]) == 2
    assert capfd.readouterr().err.startswith(f"error: {missing_backend().message}\n")


@linux
def test_a_blas_that_was_named_and_does_not_load(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("QFID_BLAS", "/nowhere/libblas.so")
    assert main(["doctor"]) == 2
    assert "named by QFID_BLAS does not load" in capfd.readouterr().err


@pytest.mark.usefixtures("quiet")
def test_a_good_machine_has_no_findings(monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(monkeypatch, GOOD) == []
    assert "No problem was found." in to_markdown(examine())


@pytest.mark.usefixtures("quiet")
def test_attention_kept_in_mlx(monkeypatch: pytest.MonkeyPatch) -> None:
    (finding,) = findings(monkeypatch, dataclasses.replace(GOOD, arithmetic="mlx"))
    assert "QFID_CPU_ARITHMETIC" in finding["what"] and "QFID_CPU_ARITHMETIC" in finding["fix"]
    assert "- **attention** in MLX, by choice" in to_markdown(examine())


@pytest.mark.usefixtures("quiet")
def test_slow_products_are_a_problem_where_scoring_uses_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(backend, "product_seconds", lambda: 0.048)
    slow = dataclasses.replace(GOOD, blas=NONE_FOUND)
    assert findings(monkeypatch, slow) == []
    lines = to_markdown(json.loads(json.dumps(examine())))
    (line,) = [line for line in lines if "**BLAS**" in line]
    assert "48 ms" in line and "`--kernel mlx-lm`" in line and "→" in line
    in_mlx = dataclasses.replace(slow, arithmetic="mlx")
    finding, _ = findings(monkeypatch, in_mlx)
    assert "reference BLAS" in finding["what"]
    (line,) = [line for line in to_markdown(examine()) if "**BLAS**" in line]
    assert "→" not in line


@pytest.mark.usefixtures("quiet")
def test_a_blas_that_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MKL_THREADING_LAYER", "TBB")
    broken = UnusableBlas("MKL", "/v/libmkl_rt.so.3", "MKL_THREADING_LAYER", "")
    (finding,) = findings(monkeypatch, dataclasses.replace(GOOD, unusable_blas=(broken,)))
    assert "MKL cannot multiply while MKL_THREADING_LAYER is `TBB`" in finding["what"]
    assert finding["fix"] == "unset MKL_THREADING_LAYER"


@linux
@pytest.mark.usefixtures("quiet")
def test_a_gpu_that_lies_idle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(doctor, "_NVIDIA", tmp_path)
    (finding,) = findings(monkeypatch, GOOD)
    assert "NVIDIA" in finding["what"] and "pip install 'mlx[cuda13]'`" in finding["fix"]
    cuda = Backend("cuda", "H", 80 * GIB, 70 * GIB, "n/a", {})
    monkeypatch.setattr(fused_selftest, "usable_kernel", lambda *_: (object(), "built"))
    monkeypatch.setattr(fused_quantizer, "usable_quantizer", lambda *_: (object(), "built"))
    assert findings(monkeypatch, cuda) == []
    assert examine()["metrics"] == examine()["quantizer"] == {"fused": True, "why": "built"}
    assert examine()["matmul"] is None
    # On CUDA the page says how many kernels need not be compiled again.
    kernels = tmp_path / "kernels"
    (kernels / "parts").mkdir(parents=True)
    for name in ("gather.ptx", "gather.txt", "parts/long.ptx"):
        (kernels / name).write_bytes(bytes(2048))
    monkeypatch.setenv("MLX_PTX_CACHE_DIR", str(kernels))
    lines = to_markdown(json.loads(json.dumps(examine())))
    (line,) = [line for line in lines if "compiled kernels" in line]
    assert str(kernels) in line and "2 kernels, 4 KiB" in line
    monkeypatch.setattr(doctor, "start_backend", lambda: GOOD)
    assert examine()["compiled_kernels"] is None


@pytest.mark.usefixtures("quiet")
def test_the_limit_of_a_control_group_and_foreign_packages_are_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "cpu_quota", lambda: 1.5)
    monkeypatch.setattr(doctor, "core_count", lambda: 2)
    lines = to_markdown(json.loads(json.dumps(examine())))
    assert any("2 cores (the control group allows the time of 1.5)" in line for line in lines)
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").touch()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    (finding,) = findings(monkeypatch, GOOD)
    assert f"`numpy` comes from `{tmp_path / 'numpy'}`" in finding["what"]
    assert "`unset PYTHONPATH`" in finding["fix"]


@pytest.mark.usefixtures("quiet")
def test_a_fused_kernel_that_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    metal = Backend("metal", "M", 80 * GIB, 70 * GIB, "n/a", {})
    monkeypatch.setattr(fused_selftest, "usable_kernel", lambda *_: (None, "it is off by 3 nats"))
    monkeypatch.setattr(fused_quantizer, "usable_quantizer", lambda *_: (None, "other bits"))
    metrics, quantizer = findings(monkeypatch, metal)
    assert "fused kernel: it is off by 3 nats" in metrics["what"]
    assert "other bits" in quantizer["what"] and "QFID_QUANTIZER" in quantizer["fix"]
    lines = to_markdown(json.loads(json.dumps(examine())))
    assert any("it is off by 3 nats" in line for line in lines)
    assert any("operations: other bits" in line for line in lines)


@pytest.mark.usefixtures("quiet")
def test_little_memory_and_full_disks(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil._ntuple_diskusage(9 * GIB, 8 * GIB, GIB)  # type: ignore[attr-defined]
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    found = findings(monkeypatch, dataclasses.replace(GOOD, memory_free=GIB))
    assert [finding["what"] for finding in found] == [
        "only 1.0 GiB of memory are free",
        "the disk that holds the models has 1.0 GiB free",
        "the disk that holds the runs has 1.0 GiB free",
    ]
    assert "HF_HOME" in found[1]["fix"] and "QFID_DATA_DIR" in found[2]["fix"]


@pytest.mark.usefixtures("quiet")
def test_text_from_the_machine_acts_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "CPU | *x* \x1b[31m\n# title"
    monkeypatch.setattr(doctor, "start_backend", lambda: dataclasses.replace(GOOD, name=name))
    lines = to_markdown(json.loads(json.dumps(examine())))
    assert not any("\x1b" in line or "\n" in line for line in lines)
    assert any("CPU \\| \\*x\\* ␛" in line for line in lines)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import os; os.abort()", "the scorer was ended by SIGABRT"),
        ("import sys; sys.exit('no driver\\nlast words')", "ended with code 1: last words"),
        ("print('[1]')", "the scorer ended with code 0"),
        ("print('garbage')", "the scorer ended with code 0"),
    ],
)
def test_a_child_that_dies_is_one_error(
    monkeypatch: pytest.MonkeyPatch, code: str, message: str
) -> None:
    monkeypatch.setattr(scorer_process, "COMMAND", (sys.executable, "-c", code))
    with pytest.raises(QfidError) as caught:
        examine_in_child()
    assert message in caught.value.message and caught.value.hint


def test_a_child_that_cannot_be_started_or_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scorer_process, "COMMAND", ("/nowhere/python",))
    with pytest.raises(QfidError, match="cannot be started"):
        examine_in_child()
    error = subprocess.TimeoutExpired("scorer", 180)

    def hang(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(subprocess, "run", hang)
    with pytest.raises(QfidError, match="did not start within 180 s"):
        examine_in_child()
