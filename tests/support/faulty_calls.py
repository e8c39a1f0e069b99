"""The calls by which a run changes files and folders, counted, and a fault at one of them.

Only calls below one folder count: opening for writing, ``write``, ``fsync``, ``fdatasync``,
``ftruncate``, ``rename``, ``mkdir``, ``rmdir``, ``unlink`` and ``flock``. They are seen where
Python makes them; that no other way to a file is used is checked against ``strace`` (see
``strace_calls``).
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from scorer.runs import positions_file

Kind = Literal["kill", "full", "io", "short", "gone"]
"""The process dies by SIGKILL before the call; the disk is full from the call on; the call fails
once with EIO; a write stores less than it was given; the run's folder is deleted before the call.
"""

KINDS: tuple[Kind, ...] = ("kill", "full", "io", "short", "gone")

# Calls that a full disk refuses.
_TAKES_SPACE = ("open", "write", "mkdir")
_NAMES = ("fsync", "ftruncate", "replace", "rename", "mkdir", "rmdir", "unlink", "remove")
_SAME = {"replace": "rename", "remove": "unlink"}
_REAL_WRITE, _REAL_OPEN, _REAL_CLOSE = os.write, os.open, os.close


@dataclass(frozen=True)
class Call:
    """One call: its name, the path of its file or folder, the bytes it writes."""

    name: str
    path: str
    size: int = 0


@dataclass(frozen=True)
class Fault:
    """What goes wrong at which call.

    Attributes:
        kind: What.
        number: The call, counted from 1.
        stored: Bytes of a ``write`` that are stored before it; 0 for any other call.
    """

    kind: Kind
    number: int
    stored: int = 0


class Calls:
    """The calls made so far, and the fault at one of them.

    Attributes:
        made: The calls.
        files: Path of each open descriptor.
        fired: Whether the fault has happened.
        deleted: Names of the runs that it deleted.
    """

    def __init__(self, folder: Path, fault: Fault | None = None) -> None:
        self.made: list[Call] = []
        self.files: dict[int, str] = {}
        self.fired = False
        self.deleted: list[str] = []
        self._folder, self._fault = os.path.realpath(folder), fault
        self._is_full = self._is_quiet = False

    def inside(self, path: str | None) -> bool:
        """Whether a path lies below the folder."""
        if self._is_quiet or path is None:
            return False
        return path.startswith(self._folder + os.sep)

    def before(
        self, name: str, path: str, data: Any = b"", descriptor: int | None = None
    ) -> bytes | None:
        """Count a call and let the fault happen; bytes are what a write is to store instead."""
        self.made.append(Call(name, path, len(data)))
        if self._is_full and name in _TAKES_SPACE:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fault = self._fault
        if fault is None or self.fired or len(self.made) != fault.number:
            return None
        self.fired = True
        part = bytes(data[: fault.stored]) if fault.stored else b""
        if fault.kind == "short":
            return part
        if fault.kind == "gone":
            self._delete_runs()
            return None
        if fault.kind == "full":
            self._is_full = True
            if part:  # as the kernel: what fits is stored, and the next write fails
                return part
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if part and descriptor is not None:
            _REAL_WRITE(descriptor, part)
        if fault.kind == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    def _delete_runs(self) -> None:
        """Delete every run but those whose name holds ``other``, as another process would.

        At once: in a folder that is emptied file by file another thread could make a new file.
        """
        self._is_quiet = True
        for path in (Path(self._folder) / "runs").glob("*"):
            if "other" not in path.name:
                gone = Path(self._folder).with_name(f"gone-{path.name}")
                path.rename(gone)
                shutil.rmtree(gone)
                # Not what a run is tried or made under.
                self.deleted += [path.name] if not path.name.startswith(".") else []
        self._is_quiet = False


@contextmanager
def counted(folder: Path, fault: Fault | None = None) -> Iterator[Calls]:
    """Count the calls below a folder that are made in the block, with a fault at one of them."""
    calls = Calls(folder, fault)
    real = {name: getattr(os, name) for name in _NAMES}
    real_sync, real_lock = positions_file._sync, fcntl.flock

    def path_of(target: Any, dir_fd: int | None = None) -> str | None:
        if isinstance(target, int):
            return calls.files.get(target)
        base = calls.files.get(dir_fd, "") if dir_fd is not None else ""
        path = Path(base, os.fsdecode(target))
        return str(Path(os.path.realpath(path.parent), path.name))

    def on(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted_call(target: Any, *more: Any, **options: Any) -> Any:
            path = path_of(target, options.get("dir_fd"))
            if path is not None and calls.inside(path):
                calls.before(name, path)
            result = call(target, *more, **options)
            if name == "rename" and path is not None:
                moved(path, str(path_of(more[0], options.get("dst_dir_fd"))))
            return result

        return counted_call

    def moved(before: str, after: str) -> None:
        """The kernel names an open file by where it is now."""
        for descriptor, path in calls.files.items():
            if path == before or path.startswith(before + os.sep):
                calls.files[descriptor] = after + path.removeprefix(before)

    def opened(path: Any, flags: int, *more: Any, **options: Any) -> int:
        full = path_of(path, options.get("dir_fd"))
        if calls.inside(full) and flags & (os.O_CREAT | os.O_TRUNC):
            calls.before("open", str(full))
        descriptor = _REAL_OPEN(path, flags, *more, **options)
        calls.files[descriptor] = str(full)
        return descriptor

    def written(descriptor: int, data: Any) -> int:
        path = calls.files.get(descriptor)
        if path is None or not calls.inside(path):
            return _REAL_WRITE(descriptor, data)
        part = calls.before("write", path, data, descriptor)
        return _REAL_WRITE(descriptor, data if part is None else part)

    def closed(descriptor: int) -> None:
        calls.files.pop(descriptor, None)
        _REAL_CLOSE(descriptor)

    try:
        for name, call in real.items():
            setattr(os, name, on(_SAME.get(name, name), call))
        os.open, os.write, os.close = opened, written, closed  # type: ignore[assignment]
        positions_file._sync = on("fdatasync", real_sync)
        fcntl.flock = on("flock", real_lock)
        yield calls
    finally:
        for name, call in real.items():
            setattr(os, name, call)
        os.open, os.write, os.close = _REAL_OPEN, _REAL_WRITE, _REAL_CLOSE
        positions_file._sync, fcntl.flock = real_sync, real_lock


def matrix(made: Sequence[Call], kinds: Sequence[Kind], shares: int) -> list[Fault]:
    """Every fault at every call.

    Args:
        made: The calls of an undisturbed life.
        kinds: The faults.
        shares: How many parts of each write are tried: from its first byte alone to all of it, or
            all but one for a short write.
    """
    found = []
    for number, call in enumerate(made, 1):
        for kind in kinds:
            if kind != "short":
                found.append(Fault(kind, number))
            if call.name != "write" or kind == "gone":
                continue
            most = call.size - (kind == "short")
            parts = {max(1, most * i // max(1, shares - 1)) for i in range(shares)}
            found += [Fault(kind, number, part) for part in sorted(parts) if 0 < part <= most]
    return found


_TRACED = (
    "open,openat,creat,write,pwrite64,writev,pwritev,sendfile,copy_file_range,fsync,fdatasync,sync,"
    "syncfs,sync_file_range,ftruncate,truncate,fallocate,rename,renameat,renameat2,mkdir,mkdirat,"
    "rmdir,unlink,unlinkat,link,linkat,symlink,symlinkat,chmod,fchmod,fchmodat,flock,utimensat"
)
_LINE = re.compile(r"(?:\d+ +)?(\w+)\((.*)")
_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
_STRING = re.compile(r'"([^"]*)"')


def strace_words(output: Path) -> list[str]:
    """The words before a command that let ``strace`` note its calls."""
    return ["strace", "-f", "-qq", "-y", "-s", "0", "-e", f"trace={_TRACED}", "-o", str(output)]


def strace_calls(output: Path, folder: Path) -> list[tuple[str, str]]:
    """Name and path of every call below a folder that changes a file, as the kernel saw them."""
    root, found = os.path.realpath(folder), []
    for line in output.read_text("utf-8", "replace").splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        name, rest = match.groups()
        strings, descriptors = _STRING.findall(rest), _DESCRIPTOR.findall(rest.split('"')[0])
        base = descriptors[0] if descriptors else ""
        path = str(Path(base, strings[0])) if strings and name != "write" else base
        path = path.removesuffix(" (deleted)")
        if not path.startswith(root + os.sep):
            continue
        if name in ("open", "openat", "creat"):
            if name != "creat" and "O_CREAT" not in rest and "O_TRUNC" not in rest:
                continue
            name = "open"
        elif name == "unlinkat":
            name = "rmdir" if "AT_REMOVEDIR" in rest else "unlink"
        name = {"renameat": "rename", "renameat2": "rename", "mkdirat": "mkdir"}.get(name, name)
        found.append((name, path))
    return found
