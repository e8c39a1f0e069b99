"""Threads for work on the CPU device, and a single-threaded BLAS of NumPy.

A run scores several batches at once, each on a core of its own: its workers. Where fewer batches
than cores are left, the other cores take part in the work of those: NumPy releases the interpreter
lock in its loops, so blocks of rows are computed in parallel. NumPy's matrix products would start
more threads in each of them, so its BLAS is limited to one thread meanwhile. One thread computes
each item: results do not depend on the number of threads.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scorer.common.device_kind import DeviceKind
from scorer.common.loans import GiveBack, Loan
from scorer.common.process_limits import THREADS_VARIABLE, core_count
from scorer.common.switches import is_enabled

_Item = TypeVar("_Item")
# With fewer elements, waking another thread takes longer than the work.
_LEAST_SHARED = 1 << 16
WORKERS_VARIABLE = "QFID_WORKERS"
"""``cores`` scores a batch on each core; ``plain`` one after the other, on all cores."""
_LIMITS = (THREADS_VARIABLE, "MKL_NUM_THREADS", "OMP_NUM_THREADS")
# Names of the functions in the OpenBLAS of NumPy's wheels, which for macOS 14 and later have
# Accelerate instead; other libraries use other names.
_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
)


@cache
def thread_count() -> int:
    """Return the number of threads that compute at once.

    The number of cores that this process may use, limited by ``QFID_THREADS``, else
    ``MKL_NUM_THREADS``, else ``OMP_NUM_THREADS``; 1 if NumPy's BLAS cannot be single-threaded.
    """
    if _numpy_blas() is None:
        return 1
    cores = core_count()
    for name in _LIMITS:
        value = os.environ.get(name, "")
        if value.isdecimal() and int(value) > 0:
            return min(cores, int(value))
    return cores


def worker_count(device: DeviceKind) -> int:
    """Return how many batches a run may score at once, where memory allows.

    Raises:
        InputError: ``QFID_WORKERS`` holds an unknown value.
    """
    if device != "cpu" or not is_enabled(WORKERS_VARIABLE, "cores"):
        return 1
    return thread_count()


class Busy:
    """Whether a worker scores at the moment; :func:`run_each` leaves it a core.

    Used by one thread, its own.
    """

    _lock = threading.Lock()
    _all = 0

    def __init__(self) -> None:
        self._busy = False

    def set(self, busy: bool) -> None:
        """Say whether the worker scores from now on."""
        with Busy._lock:
            Busy._all += busy - self._busy
            self._busy = busy

    @staticmethod
    def count() -> int:
        """How many workers of this process score at the moment."""
        return Busy._all


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, thread_count() - 1), thread_name_prefix="qfid-numpy")


def run_each(work: Callable[[_Item], None], items: Sequence[_Item], size: int) -> None:
    """Call ``work`` on every item, in this thread and a pool; the order is undefined.

    Args:
        work: Function of an item; it stores its own results.
        items: The items.
        size: Elements in all items; few elements are computed in this thread alone.

    Raises:
        Exception: The exception of ``work``; the other items may be done or not.
    """
    threads = thread_count() // max(1, Busy.count())
    helpers = min(threads, len(items)) - 1 if size >= _LEAST_SHARED else 0
    if helpers < 1:
        for item in items:
            work(item)
        return
    pending = iter(items)

    def drain() -> None:
        # next() on the iterator of a list is atomic under the interpreter lock.
        for item in pending:
            work(item)

    started = [_pool().submit(drain) for _ in range(helpers)]
    try:
        drain()
    finally:
        # Wait for all threads: the caller may then free the buffers that they write to. A task that
        # has not started is cancelled; no items are left for it.
        failures = [future.exception() for future in started if not future.cancel()]
    for failure in failures:
        if failure is not None:
            raise failure


def _one_blas_thread() -> GiveBack:
    found = _numpy_blas()
    if found is None:
        return lambda: None
    get, put = found
    before = get()
    put(1)
    return lambda: put(before)


single_threaded_numpy_blas = Loan(_one_blas_thread)
"""Limits NumPy's BLAS to one thread: a setting of the whole process."""


@cache
def _numpy_blas() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """Return functions that get and set the threads of NumPy's BLAS; None if it is not OpenBLAS."""
    package = Path(np.__file__).parent
    for folder in (package.parent / "numpy.libs", package / ".libs", package / ".dylibs"):
        for library in sorted(folder.glob("lib*openblas*")):
            try:
                handle = ctypes.CDLL(str(library))
            except OSError:
                continue
            for get, put in _NAMES:
                if hasattr(handle, get) and hasattr(handle, put):
                    return getattr(handle, get), getattr(handle, put)
    return None
