"""One kernel of MLX's own compiled by a process: ``python -m scorer.device.kernel_worker``.

MLX compiles one kernel at a time in a process, so several are compiled by as many processes. The
first line of standard input holds the task and the folder of compiled kernels as a JSON object; the
input then stays open, and its end means that the parent is gone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from scorer.device.kernel_tasks import KernelTask

# Where MLX keeps compiled kernels; it reads the variable when it compiles its first.
VARIABLE = "MLX_PTX_CACHE_DIR"
_MADE_IN = "compiling-"
_SUFFIXES = (".ptx", ".txt", ".cu")


def main() -> int:
    """Run the task of the first line of standard input.

    Returns:
        0 where the folder holds the kernel.
    """
    request = json.loads(sys.stdin.buffer.readline())
    threading.Thread(target=_exit_at_end_of_input, daemon=True).start()
    compile_into(Path(request["folder"]), KernelTask.from_json(request["task"]))
    return 0


def compile_into(folder: Path, task: KernelTask) -> None:
    """Run a task and keep what MLX compiles for it.

    MLX writes a kernel's files in place. They are made in a folder beside and then moved, so that a
    process that ends half-way leaves no half of a kernel, and no other reads one.

    Args:
        folder: Folder of compiled kernels; what it holds is not compiled again.
        task: The operation.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=_MADE_IN, dir=folder) as made_in:
        made = Path(made_in)
        held = {path.relative_to(folder) for path in _kernels(folder)}
        for path in held:
            _put(folder / path, made / path)
        os.environ[VARIABLE] = made_in
        run(task)
        # MLX looks for the code and then reads the names in it: those come first.
        new = [path for path in _kernels(made) if path.relative_to(made) not in held]
        for path in sorted(new, key=lambda path: path.suffix == ".ptx"):
            target = folder / path.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
    mark = task.mark(folder)
    mark.parent.mkdir(exist_ok=True)
    mark.touch()


def _kernels(folder: Path) -> Iterator[Path]:
    """The files of compiled kernels in a folder; MLX spreads long names over folders."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(_MADE_IN)]
        for name in names:
            if name.endswith(_SUFFIXES):
                yield Path(parent) / name


def kernels_in(folder: Path) -> Iterator[Path]:
    """The machine code of each kernel that a folder holds."""
    return (path for path in _kernels(folder) if path.suffix == ".ptx")


def _put(source: Path, target: Path) -> None:
    """Make a file appear in another folder too."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def run(task: KernelTask) -> None:
    """Run a task's operation on this process's device."""
    import mlx.core as mx

    made = _OPERATIONS[task.operation](task, getattr(mx, task.dtype))
    mx.eval(made)


def _take(task: KernelTask, dtype: Any) -> Any:
    import mlx.core as mx

    return mx.take(mx.zeros((8, 64), dtype), mx.zeros((1, 4), mx.int32), axis=0)


def _swiglu(task: KernelTask, dtype: Any) -> Any:
    import mlx.core as mx
    import mlx.nn as nn

    def swiglu(gate: Any, x: Any) -> Any:
        return nn.silu(gate) * x

    # As in mlx_lm.models.activations: MLX finds a compiled function by its operations.
    x = mx.zeros((1, 4, 64), dtype)
    return mx.compile(swiglu, shapeless=True)(x, x)


def _quantized_matmul(task: KernelTask, dtype: Any) -> Any:
    import mlx.core as mx

    stored_as: dict[str, Any] = {
        "group_size": task.group_size,
        "bits": task.bits,
        "mode": task.mode,
    }
    held = mx.quantize(mx.ones(task.matrix, dtype), **stored_as)
    return mx.quantized_matmul(mx.ones(task.x, dtype), *held, transpose=task.transpose, **stored_as)


_OPERATIONS: dict[str, Callable[[KernelTask, Any], Any]] = {
    "take": _take,
    "swiglu": _swiglu,
    "quantized_matmul": _quantized_matmul,
}


def _exit_at_end_of_input() -> None:
    with contextlib.suppress(OSError, ValueError):
        while os.read(0, 4096):
            pass
    _remove_own_folder()
    os._exit(1)


def _remove_own_folder() -> None:
    """Remove what a task that does not end would leave behind."""
    folder = Path(os.environ.get(VARIABLE, ""))
    if folder.name.startswith(_MADE_IN):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    code = main()
    # Nothing waits for the thread that reads the input.
    os._exit(code)
