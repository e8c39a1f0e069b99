"""Threads for NumPy work on the CPU device, and NumPy's own BLAS kept to one of them.

NumPy lets go of the interpreter lock inside its loops, so blocks of rows run side by side. Its
matrix products would start threads of their own inside each, so they are kept single-threaded
meanwhile. Each item is computed by one thread alone: results do not depend on their number.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

_Item = TypeVar("_Item")
# Elements below which waking another thread takes longer than the work.
_WORTH_IT = 1 << 16
_LIMITS = ("QFID_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
# NumPy's wheels name their OpenBLAS' functions apart from those of any other.
_NAMES = (
    ("scipy_openblas_get_num_threads64_", "scipy_openblas_set_num_threads64_"),
    ("openblas_get_num_threads64_", "openblas_set_num_threads64_"),
    ("scipy_openblas_get_num_threads", "scipy_openblas_set_num_threads"),
)


@cache
def thread_count() -> int:
    """Threads for NumPy work: the cores this process may use, or fewer if a variable says so.

    ``QFID_THREADS``, else ``MKL_NUM_THREADS``, else ``OMP_NUM_THREADS``. One where NumPy's BLAS
    cannot be kept to one thread.
    """
    if _numpy_blas() is None:
        return 1
    cores = core_count()
    for name in _LIMITS:
        wish = os.environ.get(name, "")
        if wish.isdecimal() and int(wish) > 0:
            return min(cores, int(wish))
    return cores


def core_count() -> int:
    """Cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(1, thread_count() - 1), thread_name_prefix="qfid-numpy")


def run_each(work: Callable[[_Item], None], items: Sequence[_Item], size: int) -> None:
    """Call ``work`` on every item, on this thread and the pool's; the order is not defined.

    Args:
        work: What to do; it writes its results itself.
        items: What to do it with.
        size: Elements all items have together: a few are done here sooner than elsewhere.

    Raises:
        Exception: What ``work`` raised; other items may have been worked on or not.
    """
    helpers = min(thread_count(), len(items)) - 1 if size >= _WORTH_IT else 0
    if helpers < 1:
        for item in items:
            work(item)
        return
    waiting = iter(items)

    def drain() -> None:
        # Taking the next item from a list's iterator is one step under the interpreter lock.
        for item in waiting:
            work(item)

    started = [_pool().submit(drain) for _ in range(helpers)]
    try:
        drain()
    finally:
        # All have to be done before the buffers they write into may go; one that has not begun
        # would find nothing to do.
        failures = [future.exception() for future in started if not future.cancel()]
    for failure in failures:
        if failure is not None:
            raise failure


_blas_lock = threading.Lock()
_blas_users = 0
_blas_threads = 0


@contextmanager
def single_threaded_numpy_blas() -> Iterator[None]:
    """Keep NumPy's own BLAS to the calling thread inside the block.

    It has one number of threads for the whole process: the first block to begin, in any thread,
    sets it to 1 and the last to end puts it back.
    """
    global _blas_users, _blas_threads
    found = _numpy_blas()
    if found is None:
        yield
        return
    get, put = found
    with _blas_lock:
        if not _blas_users:
            _blas_threads = get()
            put(1)
        _blas_users += 1
    try:
        yield
    finally:
        with _blas_lock:
            _blas_users -= 1
            if not _blas_users:
                put(_blas_threads)


@cache
def _numpy_blas() -> tuple[Callable[[], int], Callable[[int], Any]] | None:
    """How many threads NumPy's BLAS uses, to ask and to set; None where it is another library."""
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
