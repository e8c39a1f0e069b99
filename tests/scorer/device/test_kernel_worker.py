"""The process that compiles one kernel: what it leaves behind, and that it ends with its parent."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mlx.core as mx
import pytest
from deadline import DEADLINE
from mlx_lm.models import activations

from scorer.device import kernel_worker
from scorer.device.kernel_processes import COMMAND
from scorer.device.kernel_tasks import KernelTask
from scorer.device.kernel_worker import compile_into, kernels_in, run

TASK = KernelTask("embedding", "take", "bfloat16")
MATMUL = KernelTask(
    "4-bit keys", "quantized_matmul", "float32", (1, 1, 130, 64), (1, 1, 65, 64), True, 4, 32
)


@pytest.fixture(autouse=True)
def _own_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("MLX_PTX_CACHE_DIR", "")
    with mx.stream(mx.cpu):
        yield


def writes(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[set[str]]:
    """MLX that compiles kernels of these names where its variable says; what it found there."""
    found: list[set[str]] = []

    def compiling(task: KernelTask) -> None:
        folder = Path(os.environ["MLX_PTX_CACHE_DIR"])
        found.append({str(path.relative_to(folder)) for path in folder.rglob("*.*")})
        for name in names:
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text("new")

    monkeypatch.setattr(kernel_worker, "run", compiling)
    return found


def test_what_is_compiled_is_moved_into_the_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "old.ptx").write_text("old")
    other = tmp_path / "compiling-by-another"
    other.mkdir()
    (other / "half.ptx").touch()
    found = writes(monkeypatch, "new.ptx", "new.txt", "new.cu", "parts/of_a_long_name.ptx")
    compile_into(tmp_path, TASK)
    # What is compiled already is there to be found, what another has begun is not.
    assert found == [{"old.ptx"}]
    assert {path.name for path in kernels_in(tmp_path)} == {
        "old.ptx",
        "new.ptx",
        "of_a_long_name.ptx",
    }
    assert (tmp_path / "new.txt").read_text() == (tmp_path / "new.cu").read_text() == "new"
    assert (tmp_path / "old.ptx").read_text() == "old"
    assert TASK.mark(tmp_path).exists() and not MATMUL.mark(tmp_path).exists()
    assert sorted(path.name for path in tmp_path.glob("compiling-*")) == [other.name]


def test_a_task_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fails(task: KernelTask) -> None:
        Path(os.environ["MLX_PTX_CACHE_DIR"], "half.ptx").touch()
        raise RuntimeError("out of memory")

    monkeypatch.setattr(kernel_worker, "run", fails)
    with pytest.raises(RuntimeError, match="out of memory"):
        compile_into(tmp_path, TASK)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "task", [TASK, KernelTask("activation", "swiglu", "float16"), MATMUL], ids=lambda t: t.label
)
def test_every_operation_runs(task: KernelTask) -> None:
    run(task)


def test_the_activation_is_mlx_lms() -> None:
    """MLX finds a compiled function by its operations: they must stay the same."""
    assert (
        "return nn.silu(gate) * x"
        in inspect.getsource(activations).partition("def swiglu(gate, x):")[2].partition("def")[0]
    )
    assert "return nn.silu(gate) * x" in inspect.getsource(kernel_worker._swiglu)


def test_the_mark_is_of_everything_but_the_label(tmp_path: Path) -> None:
    assert KernelTask("other words", "take", "bfloat16").mark(tmp_path) == TASK.mark(tmp_path)
    assert KernelTask("embedding", "take", "float16").mark(tmp_path) != TASK.mark(tmp_path)
    assert KernelTask.from_json(json.loads(json.dumps(MATMUL.to_json()))) == MATMUL


def test_the_process_runs_the_task_of_its_first_line(tmp_path: Path) -> None:
    request = json.dumps({"folder": str(tmp_path / "kernels"), "task": TASK.to_json()})
    with subprocess.Popen(COMMAND, stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(request.encode() + b"\n")
        process.stdin.flush()
        assert process.wait(DEADLINE) == 0
    assert TASK.mark(tmp_path / "kernels").exists()


def test_it_ends_with_its_parent_and_takes_away_what_it_began(tmp_path: Path) -> None:
    code = (
        "import time; from scorer.device import kernel_worker as worker\n"
        "worker.run = lambda task: (print('begun', flush=True), time.sleep(1000))\n"
        "worker.main()"
    )
    request = json.dumps({"folder": str(tmp_path), "task": TASK.to_json()})
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(request.encode() + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"begun\n"
        assert list(tmp_path.glob("compiling-*"))
        began = time.monotonic()
        process.stdin.close()
        assert process.wait(DEADLINE) == 1
        assert time.monotonic() - began < 10
    assert not list(tmp_path.iterdir())
