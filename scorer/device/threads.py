"""Threads for NumPy work on the CPU device, and a single-threaded BLAS of NumPy.

NumPy releases the interpreter lock in its loops, so blocks of rows are computed in parallel. Its
matrix products would start more threads in each of them, so NumPy's BLAS is limited to one thread
meanwhile. One thread computes each item: results do not depend on the number of threads.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from scorer.common.loans import GiveBack, Loan
from scorer.common.process_limits import THREADS_VARIABLE, core_count

_Item = TypeVar("_Item")
# With fewer elements, waking another thread takes longer than the work.
_LEAST_SHARED = 1 << 16
_LIMITS = (THREADS_VARIABLE, "MKL_NUM_THREADS", "OMP_NUM_THREADS")
# Names of the functions in the OpenBLAS of NumPy's wheels; other libraries use other names.
_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
)


@cache
def thread_count() -> int:
    """Return the number of threads for NumPy work.

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
    helpers = min(thread_count(), len(items)) - 1 if size >= _LEAST_SHARED else 0
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
    for folder in (package.parent / "numpy.libs", package / ".libs"):
        for library in sorted(folder.glob("lib*openblas*")):
            try:
                handle = ctypes.CDLL(str(library))
            except OSError:
                continue
            for get, put in _NAMES:
                if hasattr(handle, get) and hasattr(handle, put):
                    return getattr(handle, get), getattr(handle, put)
    return None
