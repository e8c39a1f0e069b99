"""One writer per run folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from scorer.common.atomic_files import storage_error, write_all
from scorer.common.errors import InputError

LOCK_FILE = "lock"
NO_LOCKS = frozenset({errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS})
"""What ``flock`` fails with on a file system without locks."""
_HOLDER_BYTES = 4096
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
# Device and inode of the lock files held here. A disk that fails can leave this process named in
# the file of a lock that it has given back.
_held_here: set[tuple[int, int]] = set()


@dataclass(frozen=True, slots=True)
class Holder:
    """The process named in a lock file.

    Attributes:
        pid: Its process id.
        started: When it started, in the operating system's own units; "" where unknown. Tells
            it from a later process that was given the same id.
        since: When it took the lock, ISO 8601 with time zone.
    """

    pid: int
    started: str
    since: str

    def alive(self) -> bool:
        """Whether this very process still runs."""
        return _process_started(self.pid) == self.started != ""


class RunLock:
    """The right to write to a run folder, for as long as this process lives.

    The kernel holds the lock with the open descriptor, so that the lock of a process that died,
    however it died, is free at once. What the file says is only for people and for lists.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            InputError: Another process (or another lock of this one) holds it; the message names
                the process and since when. Also when the folder cannot be locked in.
        """
        path = self.folder / LOCK_FILE
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        try:
            descriptor = os.open(path, flags, 0o666)
        except OSError as error:
            if error.errno in _READ_ONLY:
                raise InputError(
                    f"run `{self.folder.name}` cannot be written: permission denied or read-only",
                    f"`qfid report {self.folder.name}` prints what it holds; to go on with it, get "
                    "the right to write to it, or copy it into a folder of runs of your own",
                ) from error
            raise storage_error(error, path) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A folder deleted between opening and locking leaves a lock on a file without a name.
            if not os.path.samestat(os.fstat(descriptor), path.lstat()):
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
            me = Holder(
                os.getpid(),
                _process_started(os.getpid()),
                datetime.now(UTC).isoformat(timespec="seconds"),
            )
            line = {"pid": me.pid, "started": me.started, "since": me.since}
            os.ftruncate(descriptor, 0)
            write_all(descriptor, json.dumps(line).encode())
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, BlockingIOError):
                raise _held(self.folder) from None
            if isinstance(error, OSError) and error.errno in NO_LOCKS:
                raise InputError(
                    f"the file system of `{self.folder.parent}` has no file locks",
                    "set QFID_DATA_DIR to a folder on a local disk; Lustre has locks where it is "
                    "mounted with `-o flock`",
                ) from error
            if isinstance(error, OSError):
                raise storage_error(error, path) from error
            raise
        self._descriptor = descriptor
        _held_here.add(_file_id(descriptor))

    def release(self) -> None:
        """Give the lock back; does nothing when it is not held."""
        if self._descriptor is None:
            return
        # The file stays: removing it would let two processes lock two files of one name.
        descriptor, self._descriptor = self._descriptor, None
        _held_here.discard(_file_id(descriptor))
        try:
            # What the file says is for people and lists: a failing disk ends no run here.
            with contextlib.suppress(OSError):
                os.ftruncate(descriptor, 0)
        finally:
            os.close(descriptor)

    def __enter__(self) -> RunLock:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()


def holder(folder: str | os.PathLike[str]) -> Holder | None:
    """The living process that writes to this run folder, or None.

    Asks without taking the lock, so that listing runs never makes a starting one fail.
    """
    try:
        # Nobody is named in the lock of most runs, and many are asked for.
        if not os.lstat(f"{os.fspath(folder)}{os.sep}{LOCK_FILE}").st_size:
            return None
    except (OSError, ValueError):
        return None
    named = _named(Path(folder))
    return named if named is not None and named.alive() else None


def _named(folder: Path) -> Holder | None:
    try:
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        descriptor = os.open(folder / LOCK_FILE, flags)
        try:
            data = json.loads(os.read(descriptor, _HOLDER_BYTES))
            file = _file_id(descriptor)
        finally:
            os.close(descriptor)
        pid, started, since = data["pid"], data["started"], data["since"]
        if pid == os.getpid() and file not in _held_here:
            return None
        if type(pid) is int and pid > 0 and isinstance(started, str):
            return Holder(pid, started, datetime.fromisoformat(since).isoformat())
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass
    return None


def _file_id(descriptor: int) -> tuple[int, int]:
    found = os.fstat(descriptor)
    return found.st_dev, found.st_ino


def _held(folder: Path) -> InputError:
    named = _named(folder)
    who = "another process"
    if named is not None:
        since = datetime.fromisoformat(named.since).astimezone().isoformat(" ", "seconds")
        who = f"process {named.pid} since {since}"
    return InputError(
        f"run `{folder.name}` is being written by {who}", "wait until it ends, or stop it first"
    )


def _process_started(pid: int) -> str:
    """When a living process started; "" where there is none or nobody can say."""
    if sys.platform == "linux":
        try:
            # The name in parentheses may hold anything, parentheses included.
            values = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
        except OSError:
            return ""
        fields = values.split()
        # A dead process that its parent has not waited for holds no lock any more.
        return fields[19] if len(fields) > 19 and fields[0] not in "ZXx" else ""
    try:
        found = subprocess.run(
            ["/bin/ps", "-o", "stat=", "-o", "lstart=", "-p", str(pid)],
            capture_output=True,
            text=True,
            env={"LC_ALL": "C"},
            timeout=5,
            check=False,
        ).stdout.split(maxsplit=1)
    except (OSError, ValueError, subprocess.SubprocessError):
        return ""
    return found[1].strip() if len(found) == 2 and not found[0].startswith("Z") else ""
