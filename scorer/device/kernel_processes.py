"""Kernels of MLX's own compiled side by side, by processes, while this one loads a model.

MLX compiles one kernel at a time and keeps it on disk; what is on disk already costs no process. A
kernel that could not be compiled here is compiled by MLX when it is first used.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from scorer.common.process_limits import core_count
from scorer.common.python_command import python_command
from scorer.device.host_memory import host_memory
from scorer.device.kernel_tasks import KernelTask

COMMAND = python_command("scorer.device.kernel_worker")
HOST_BYTES = 3 << 30
"""Memory that a process takes while it compiles: 2.7 GiB for a quantized matmul."""
DEVICE_BYTES = 640 << 20
"""Memory of the GPU that a process takes: 554 MiB on an H100, nearly all of it CUDA's context."""

# A process that takes longer hangs.
_PATIENCE = 300.0
_REPORT_SECONDS = 2.0
_END_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Compiling:
    """How far the processes are.

    Attributes:
        done: Kernels that need not be waited for any more.
        total: Kernels that were not on disk.
        waiting: Labels of the others, in the order of the tasks.
    """

    done: int
    total: int
    waiting: tuple[str, ...]

    def described(self) -> str:
        """One line: how many are done, and which are waited for."""
        shown = ", ".join(self.waiting[:3]) + (
            f" and {len(self.waiting) - 3} more" if len(self.waiting) > 3 else ""
        )
        return f"kernels for this GPU, once: {self.done} of {self.total} done; waiting for {shown}"


def processes_at_once(device_bytes: int) -> int:
    """Processes that cores and memory allow.

    Args:
        device_bytes: Memory of the GPU that they may take together.
    """
    # The model is read meanwhile: half of the host's memory is left to it.
    host_bytes = host_memory().available // 2
    return max(0, min(core_count(), host_bytes // HOST_BYTES, device_bytes // DEVICE_BYTES))


class KernelProcesses:
    """Processes that compile kernels, one each; a context that ends them.

    Args:
        tasks: What to compile; those whose kernels the folder holds are left out.
        folder: Where MLX keeps compiled kernels.
        at_once: Processes that run side by side; 0 starts none.
        command: The command of a process.
    """

    def __init__(
        self,
        tasks: Sequence[KernelTask],
        folder: Path,
        at_once: int,
        command: Sequence[str] = COMMAND,
    ) -> None:
        missing = [task for task in dict.fromkeys(tasks) if not task.mark(folder).exists()]
        self._folder = folder
        self._command = list(command)
        self._running: set[subprocess.Popen[bytes]] = set()
        self._lock = threading.Lock()
        self._closed = False
        self._results: dict[Future[None], KernelTask] = {}
        self._pool: ThreadPoolExecutor | None = None
        if missing and at_once > 0:
            self._pool = ThreadPoolExecutor(at_once, "qfid-kernels")
            self._results = {self._pool.submit(self._run, task): task for task in missing}

    def __enter__(self) -> KernelProcesses:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._closed = True
            running = list(self._running)
        for process in running:
            # The worker ends when its input ends, and removes its unfinished files.
            with contextlib.suppress(OSError):
                assert process.stdin is not None
                process.stdin.close()
        for process in running:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def awaited(self) -> Iterator[Compiling]:
        """Wait for all processes.

        Yields:
            How far they are, at once and then every two seconds in which one has ended; nothing
            where all are done.
        """
        reported, last = -1, float("-inf")
        while True:
            pending = [future for future in self._results if not future.done()]
            if not pending:
                return
            done = len(self._results) - len(pending)
            if done > reported and time.monotonic() - last >= _REPORT_SECONDS:
                reported, last = done, time.monotonic()
                labels = tuple(dict.fromkeys(self._results[future].label for future in pending))
                yield Compiling(done, len(self._results), labels)
            wait(pending, timeout=_REPORT_SECONDS, return_when=FIRST_COMPLETED)

    def _run(self, task: KernelTask) -> None:
        """Run a process to its end; how it ends does not matter."""
        request = json.dumps({"folder": str(self._folder), "task": task.to_json()})
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            with self._lock:
                if self._closed:
                    return
                process = subprocess.Popen(
                    self._command,
                    # Its end tells the process that this one is gone.
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
                self._running.add(process)
            try:
                assert process.stdin is not None
                process.stdin.write(request.encode() + b"\n")
                process.stdin.flush()
                process.wait(_PATIENCE)
            finally:
                with self._lock:
                    self._running.discard(process)
                process.kill()
                process.wait()
                with contextlib.suppress(OSError):
                    if process.stdin is not None:
                        process.stdin.close()
