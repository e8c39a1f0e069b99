"""What is compiled for a job, where, and what is said about it."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest
from tiny_models import write_text, write_tiny_model

from scorer.common.errors import InputError
from scorer.common.folders import cache_folder
from scorer.device.backend import Backend, start_backend
from scorer.device.host_memory import HostMemory
from scorer.device.kernel_processes import DEVICE_BYTES, KernelProcesses
from scorer.device.kernel_tasks import KernelTask
from scorer.engine import kernels, preparation
from scorer.engine.kernels import compiling, tasks_of
from scorer.engine.own_kernels import OwnKernels
from scorer.engine.preparation import Preparation
from scorer.lm.model_kernels import stored_formats
from scorer.metrics import fused_selftest
from scorer.models.resolve import resolve_model
from scorer.models.sizes import model_sizes
from scorer.quantizers import affine_fused
from scorer.spec.events import Loading
from scorer.spec.job import CorpusSpec, Job
from scorer.spec.settings.registry import parse_settings

CUDA = Backend("cuda", "H", 80 << 30, 70 << 30, "n/a", {})


def job(settings: str = "8,4:32", **options: Any) -> Job:
    return Job(
        "demo",
        parse_settings(settings),
        CorpusSpec("builtin"),
        chunk_length=64,
        max_chunks=1,
        **options,
    )


@pytest.fixture(autouse=True)
def _on_the_cpu_device() -> Iterator[None]:
    with mx.stream(mx.cpu):
        yield


def started(monkeypatch: pytest.MonkeyPatch, free: int) -> list[tuple[Any, ...]]:
    """The arguments of the processes that are started beside a device with so much free."""
    found: list[tuple[Any, ...]] = []

    def start(tasks: list[KernelTask], folder: Path, at_once: int) -> KernelProcesses:
        found.append((tasks, folder, at_once))
        return KernelProcesses([], folder, 0)

    monkeypatch.setattr(kernels, "KernelProcesses", start)
    monkeypatch.setattr(kernels, "processes_at_once", lambda size: size // DEVICE_BYTES)
    monkeypatch.setattr(kernels, "device_memory", lambda _: HostMemory(free, free))
    monkeypatch.setenv("MLX_PTX_CACHE_DIR", "/kernels")
    return found


def test_the_weights_have_to_fit_beside_the_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    info = resolve_model("demo", None)
    sizes = model_sizes(info)
    found = started(monkeypatch, sizes.stored_bytes + 3 * DEVICE_BYTES)
    compiling(job(), CUDA, info, sizes)
    ((tasks, folder, at_once),) = found
    assert (folder, at_once) == (Path("/kernels"), 3)
    # Those that take longest come first.
    assert [task.label for task in tasks] == [
        "8-bit values",
        "8-bit keys",
        "4-bit values",
        "4-bit keys",
        "activation",
        "embedding",
    ]
    assert {task.dtype for task in tasks} == {"float16"}


@pytest.mark.parametrize("kind", ["cpu", "metal"])
def test_elsewhere_no_process_is_started(monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    info = resolve_model("demo", None)
    found = started(monkeypatch, 1 << 40)
    backend = Backend(kind, "M", 80 << 30, 70 << 30, "n/a", {})
    with compiling(job(), backend, info, model_sizes(info)) as processes:
        assert list(processes.awaited()) == []
    assert [(len(tasks), at_once) for tasks, _, at_once in found] == [(0, 0)]


def test_dequantized_settings_need_no_quantized_matmul() -> None:
    info = resolve_model("demo", None)
    plain = Job("demo", parse_settings("8,4", path="dequantized"), CorpusSpec("builtin"))
    operations = [task.operation for task in tasks_of(plain, info, model_sizes(info))]
    assert operations == ["swiglu", "take"]


def test_products_with_weights_are_compiled_ahead_whatever_holds_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stored = write_tiny_model(tmp_path / "stored", "llama", bits=8)
    model = write_tiny_model(tmp_path / "model", "llama")
    settings = parse_settings(f"w4:32,w3:32,wmxfp4,w4:32+8,w={stored}")
    asked = Job(
        str(model), settings, CorpusSpec(str(write_text(tmp_path))), chunk_length=64, max_chunks=1
    )
    found: list[KernelTask] = []

    def noted(job: Job, _: Backend, *model: Any) -> KernelProcesses:
        found.extend(tasks_of(job, *model))
        raise KeyError

    monkeypatch.setattr(preparation, "compiling", noted)
    with pytest.raises(KeyError):
        for _ in Preparation(asked, start_backend(), cache_folder() / "tokens").steps():
            pass
    products = [task for task in found if task.operation == "quantized_matmul"]
    weights = [task for task in products if task.label.endswith("weights")]
    formats = [(task.mode, task.bits, task.group_size) for task in weights]
    assert formats == [
        ("affine", 4, 32),
        ("affine", 3, 32),
        ("mxfp4", 4, 32),
        ("affine", 8, 32),
    ]
    assert found[: len(products)] == products and len(set(found)) == len(found)


def test_layers_may_have_formats_of_their_own(tmp_path: Path) -> None:
    config: dict[str, Any] = {
        "quantization": {
            "group_size": 64,
            "bits": 4,
            "model.layers.0": {"group_size": 32, "bits": 8},
            "model.layers.1": {"group_size": 64, "bits": 4},
            "lm_head": False,
            "model.layers.2": {"bits": 4, "group_size": 32, "mode": "mxfp4"},
            "model.layers.3": {"bits": 17, "group_size": 32},
        }
    }
    found = [(each.mode, each.bits, each.group_size) for each in stored_formats(config, tmp_path)]
    assert found == [("affine", 4, 64), ("affine", 8, 32), ("mxfp4", 4, 32)]
    assert stored_formats({}, tmp_path) == stored_formats({"quantization": None}, tmp_path) == []


def test_kernels_are_compiled_for_the_groups_that_are_scored(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Heads of 96 take groups of 32 where none is asked for; a width may be of either side."""
    model = write_tiny_model(tmp_path / "model", "llama", head_dim=96)
    asked = Job(
        str(model),
        parse_settings("8,k8v4,4:32"),
        CorpusSpec(str(write_text(tmp_path))),
        chunk_length=64,
        max_chunks=1,
    )
    found: list[list[KernelTask]] = []

    def noted(job: Job, _: Backend, *model: Any) -> KernelProcesses:
        found.append(list(tasks_of(job, *model)))
        return KernelProcesses([], tmp_path, 0)

    monkeypatch.setattr(preparation, "compiling", noted)
    for _ in Preparation(asked, start_backend(), cache_folder() / "tokens").steps():
        pass
    groups = [task.group_size for task in found[0] if task.operation == "quantized_matmul"]
    assert groups == [32] * 4


def test_the_preparation_says_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """And it waits, before the model is run for the first time."""
    tasks = [KernelTask("4-bit keys", "take", "bfloat16")]
    gate = tmp_path / "gate"
    wait = f"import os, time\nwhile not os.path.exists({str(gate)!r}): time.sleep(0.01)"
    command = [sys.executable, "-c", wait]
    running: list[KernelProcesses] = []

    def slow(*_: Any) -> KernelProcesses:
        running.append(KernelProcesses(tasks, tmp_path, 1, command))
        return running[0]

    monkeypatch.setattr(preparation, "compiling", slow)
    steps = []
    for event in Preparation(job(), start_backend(), cache_folder() / "tokens").steps():
        if isinstance(event, Loading):
            steps.append(event.step)
            if event.step == "kernels":
                assert event.detail.endswith("0 of 1 done; waiting for 4-bit keys")
                gate.touch()
            if event.step == "checking":
                assert not running[0]._running
    assert steps == ["tokenizing", "model", "kernels", "checking"]


def test_a_preparation_that_is_left_ends_the_processes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tasks = [KernelTask("4-bit keys", "take", "bfloat16")]
    command = [sys.executable, "-c", "import sys; sys.stdin.read()"]
    running: list[KernelProcesses] = []

    def slow(*_: Any) -> KernelProcesses:
        running.append(KernelProcesses(tasks, tmp_path, 1, command))
        return running[0]

    monkeypatch.setattr(preparation, "compiling", slow)
    steps = Preparation(job(), start_backend(), cache_folder() / "tokens").steps()
    for event in steps:
        if isinstance(event, Loading) and event.step == "kernels":
            break
    # A thread starts it.
    end = time.monotonic() + 60
    while not running[0]._running and time.monotonic() < end:
        time.sleep(0.01)
    (process,) = running[0]._running
    steps.close()  # type: ignore[attr-defined]
    assert process.poll() is not None


def built(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(
        fused_selftest,
        "usable_kernel",
        lambda *given: found.append((*given, threading.current_thread().name)),
    )
    monkeypatch.setattr(
        affine_fused,
        "usable_quantizer",
        lambda *given: found.append((*given, threading.current_thread().name)),
    )
    return found


def test_a_thread_builds_our_own_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    found = built(monkeypatch)
    wanted = Job("demo", parse_settings("8,4,4:32", path="dequantized"), CorpusSpec("builtin"))
    OwnKernels(wanted, "cuda").wait()
    assert [call[:-1] for call in found] == [
        ("cuda", mx.float16, 64),
        ("cuda", mx.float16, 32),
        ("cuda", mx.float16),
    ]
    assert all(name.startswith("qfid-own-kernels") for *_, name in found)


@pytest.mark.parametrize(("control", "groups"), [(False, []), (True, [64, 32])])
def test_the_quantizers_only_where_something_is_dequantized(
    monkeypatch: pytest.MonkeyPatch, control: bool, groups: list[int]
) -> None:
    found = built(monkeypatch)
    OwnKernels(job(control=control), "cuda").wait()
    assert [call[2] for call in found if len(call) == 4] == groups


@pytest.mark.parametrize("device", ["cpu", "metal"])
def test_elsewhere_no_thread_is_started(monkeypatch: pytest.MonkeyPatch, device: Any) -> None:
    found = built(monkeypatch)
    OwnKernels(job(), device).wait()
    assert not found


def test_a_model_that_cannot_be_read_is_reported_by_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = built(monkeypatch)
    OwnKernels(Job("org/absent", parse_settings("8"), CorpusSpec("builtin")), "cuda").wait()
    assert not found


def test_a_wrong_variable_is_an_error_of_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QFID_METRICS", "fastest")
    with pytest.raises(InputError, match="`fastest` is not a value of QFID_METRICS"):
        OwnKernels(job(), "cuda").wait()
