"""What the system allows a process: threads, open files, a working directory, a home folder.

Standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import threading
from collections.abc import Callable
from pathlib import Path

from scorer.common.errors import InputError, QfidError

THREADS_VARIABLE = "QFID_THREADS"
"""Limits how many threads share the work in NumPy."""
_THREAD_TEXTS = ("can't start new thread", "pthread_create failed", "resources for OMP thread")
THREADS_HINT = (
    "`ulimit -u` shows the limit of this user; a container has one too (`--pids-limit`); "
    "OMP_NUM_THREADS=1 takes fewer"
)
# What mlx-lm would set, so that many files of weights can be open at once.
_OPEN_FILES = 2048
FEW_FILES = 256
"""With fewer open files a model whose weights lie in many files may not load."""
# Files open beside those of weights: standard streams, pipes, a run's files, libraries' own.
_OTHER_FILES = 24
FILES_HINT = "`ulimit -Hn` shows the limit here; a container has one too (`--ulimit nofile`)"


def core_count() -> int:
    """Cores that this process may use.

    Where its control group limits the time of the processor, as many as that keeps busy: more
    threads would be stopped together until the next period.
    """
    from scorer.common.control_groups import cpu_quota

    cores, quota = cores_here(), cpu_quota()
    return cores if quota is None else min(cores, math.ceil(quota))


def cores_here() -> int:
    """Cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:
        return os.cpu_count() or 1


def startable_threads(wanted: int) -> int:
    """Return how many more threads this process can start now, at most ``wanted``.

    They are started and ended: no system says in advance what its limits leave.
    """
    end = threading.Event()
    started: list[threading.Thread] = []
    try:
        for _ in range(wanted):
            thread = threading.Thread(target=end.wait, daemon=True)
            thread.start()
            started.append(thread)
    except RuntimeError:
        pass
    finally:
        end.set()
        for thread in started:
            thread.join()
    return len(started)


def check_thread_limit() -> None:
    """Check ``QFID_THREADS``.

    Raises:
        InputError: It is no whole number above 0.
    """
    value = os.environ.get(THREADS_VARIABLE, "")
    if value and not (value.isdecimal() and int(value) > 0):
        raise InputError(
            f"{THREADS_VARIABLE} is `{value}`, which is no number of threads",
            f"{THREADS_VARIABLE}=2 limits the work in NumPy to two threads",
        )


def require_threads(count: int) -> None:
    """Check that ``count`` more threads can be started.

    Libraries written in C end the process, or wait for ever, where one of theirs cannot.

    Raises:
        InputError: They cannot.
    """
    found = startable_threads(count)
    if found < count:
        raise InputError(
            f"the system allows {found} more threads or processes here, and {count} are needed",
            THREADS_HINT,
        )


def says_too_few_threads(text: str) -> bool:
    """Return whether a message of a library means that a thread could not be started."""
    return any(part in text for part in _THREAD_TEXTS)


def file_limit() -> int | None:
    """Return how many files this process may open at once; None where nothing limits it."""
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard


def raise_file_limit() -> Callable[[], None]:
    """Raise the soft limit on open files to 2048, or as far as the hard one allows.

    Returns:
        A function that lowers it again, unless it was set meanwhile.
    """
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    infinite = resource.RLIM_INFINITY
    wanted = _OPEN_FILES if hard == infinite else min(_OPEN_FILES, hard)
    if soft == infinite or soft >= wanted:
        return lambda: None
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))

    def give_back() -> None:
        now, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if now == wanted:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    return give_back


def require_weight_files(count: int) -> None:
    """Check that ``count`` files of weights can be open at once, as MLX keeps them while loading.

    Raises:
        InputError: They cannot.
    """
    limit = file_limit()
    if limit is not None and count > 1 and count + _OTHER_FILES > limit:
        raise InputError(
            f"the weights lie in {count} files, and this process may open only {limit} at once",
            FILES_HINT,
        )


def limit_memory(most: int) -> None:
    """Let this process allocate so many bytes more; only Linux counts what is allocated."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        held = 0
        for line in Path("/proc/self/status").read_text("ascii").splitlines():
            if line.startswith("VmData:"):
                held = int(line.split()[1]) << 10
        if held:
            _lower(resource.RLIMIT_DATA, held + most)


def limit_processor_time(seconds: float) -> None:
    """Let the kernel end this process after so many seconds of work, those of all threads added."""
    import resource

    with contextlib.suppress(OSError, ValueError):
        used = resource.getrusage(resource.RUSAGE_SELF)
        _lower(resource.RLIMIT_CPU, math.ceil(used.ru_utime + used.ru_stime + seconds))


def _lower(which: int, wanted: int) -> None:
    """Set a soft limit, unless a lower one holds already."""
    import resource

    soft, hard = resource.getrlimit(which)
    if all(limit == resource.RLIM_INFINITY or wanted < limit for limit in (soft, hard)):
        resource.setrlimit(which, (wanted, hard))


def working_folder_exists() -> bool:
    """Return whether the working directory of this process still exists."""
    try:
        Path.cwd()
    except OSError:
        return False
    return True


def require_working_folder() -> None:
    """Check that the working directory exists: MKL ends a process that has none.

    Raises:
        InputError: It has been deleted.
    """
    if not working_folder_exists():
        raise missing_working_folder()


def missing_working_folder() -> InputError:
    """Return the error for a working directory that has been deleted."""
    return InputError("the working directory has been deleted", "`cd` to a folder that exists")


def leave_missing_folder() -> None:
    """Go to the root folder if the working directory has been deleted.

    Only for a process of our own. It stays where the folder of saved runs is a relative path: that
    must not become one from the root.
    """
    data = os.environ.get("QFID_DATA_DIR", "")
    if not working_folder_exists() and (not data or data.startswith(("/", "~"))):
        os.chdir("/")


def limit_reached(error: BaseException) -> QfidError | None:
    """Return the error to show where an exception means that a limit of the system is reached.

    Returns:
        None for any other exception.
    """
    if isinstance(error, RuntimeError) and says_too_few_threads(str(error)):
        return QfidError("the system allows no more threads or processes here", THREADS_HINT)
    if not isinstance(error, OSError):
        return None
    if isinstance(error, BlockingIOError) and error.errno == errno.EAGAIN:
        return QfidError("the system allows no more threads or processes here", THREADS_HINT)
    if error.errno in (errno.EMFILE, errno.ENFILE):
        return QfidError(
            f"too many files are open: this process may open {file_limit() or 'many'} at once",
            FILES_HINT,
        )
    return None
