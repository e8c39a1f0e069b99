"""The index of the saved runs: what lists said of runs whose files are as they were then.

With thousands of runs most of the time of a list goes into reading files that have not changed. The
index keeps each run's line together with the stamps of the files that the line rests on. A line is
believed only while all of them are equal; whatever else the index holds is ignored. So it may be
old, damaged, written by another version or deleted at any time: lists are slower then, never wrong.
A checksum says that the lines are those that this version wrote: to check the types of thousands
of values takes as long as to look at the files.

It is one file in the cache folder, replaced as a whole. Where two processes write it, the last one
wins, and what the other had read is read again. Pure standard library.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
import weakref
import zlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from scorer._version import __version__
from scorer.common.atomic_files import write_atomic
from scorer.common.errors import QfidError
from scorer.common.folders import cache_folder
from scorer.common.regular_files import open_regular
from scorer.runs.run_info import RunInfo
from scorer.runs.run_lock import holder

SCHEMA = 2
"""Number of the layout of the index, and of what its lines say: a change of either changes it."""
FEWEST_RUNS = 64
"""Fewer runs are read faster than anybody notices."""
_FILE = "runs.json"
_BYTES_PER_RUN = 1 << 14
# The index is written again when so many of its lines would otherwise be read once more.
_SHARE_READ = 1 / 64
# A file that is changed twice within the resolution of its times can look unchanged, so what has
# changed just now is not kept. The coarsest times in use are those of FAT, 2 s.
_YOUNG = 2_000_000_000
_LEFT_OVER_SECONDS = 3600

# The files that a line rests on. The lock is no such file: that of an unfinished run is looked at
# each time, and a process that goes on with a finished run replaces its job.json first.
_FILES = ("/job.json", "/state.json", "/report.json", "/positions.arrow")
_VALUES = 3
_NO_FILE = (0, 0, 0)
_REPORT_SIZE = _VALUES * 2 + 1

_Line = list[Any]
"""Stamps, state, values of the line, results: see :class:`ListedRun`."""

# The values of a line, in the order of the fields of RunInfo after its reason.
_KEPT = RunInfo._fields[RunInfo._fields.index("reason") + 1 : -1]


@dataclasses.dataclass(slots=True)
class ListedRun:
    """A run in a list.

    Attributes:
        info: Its line.
        line: Its line in the index; None where nothing is kept of it.
    """

    info: RunInfo
    line: _Line | None = None

    @property
    def results(self) -> Any:
        """What is kept of its results, any JSON value; None where nothing is."""
        return None if self.line is None else self.line[3]

    @property
    def has_report(self) -> bool:
        """Whether there may be a stored report."""
        return self.line is None or self.line[0][_REPORT_SIZE] > 0


class RunIndex:
    """The runs of a folder, with what is known of them from earlier lists.

    Attributes:
        names: Names of the runs, in order.
    """

    def __init__(
        self,
        folder: Path,
        names: list[str],
        indexed: Collection[str],
        read: Callable[[Path], RunInfo],
    ) -> None:
        """Read the index, where there are many runs.

        Args:
            folder: The folder of runs.
            names: Names of its runs.
            indexed: Those that are real folders; nothing is kept of others.
            read: Reads the line of a run from its files.
        """
        self.names = names
        self._folder, self._read_run = os.fspath(folder), read
        self._is_used = len(indexed) >= FEWEST_RUNS
        self._opened = self._open() if self._is_used else None
        self._indexed = frozenset(indexed if self._is_used else ())
        self._lines = _stored_lines(len(indexed)) if self._is_used else {}
        self._new = 0

    def _open(self) -> int | None:
        """Descriptor of the folder, from which its files are found faster; None without one."""
        if os.stat not in os.supports_dir_fd:
            return None
        try:
            opened = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError:
            return None
        weakref.finalize(self, os.close, opened)
        return opened

    def look(self, name: str) -> ListedRun:
        """Look at a run: its files are read unless they are as they were when they were last read.

        Args:
            name: Its name.
        """
        folder = f"{self._folder}{os.sep}{name}"
        if name not in self._indexed:
            return ListedRun(self._read_run(Path(folder)))
        stamps = _stamps(folder if self._opened is None else name, self._opened)
        line = self._lines.get(name)
        if stamps is not None and line is not None and line[0] == stamps:
            info = _kept_info(name, folder, line)
            if info is not None:
                return ListedRun(info, line)
        # What was looked at is older than what is read: a change in between is seen the next time.
        oldest = time.time_ns()
        info = self._read_run(Path(folder))
        if stamps is None or not _can_be_kept(info) or max(stamps[::_VALUES]) > oldest - _YOUNG:
            return ListedRun(info)
        line = [stamps, info.state, [_plain(getattr(info, key)) for key in _KEPT], None]
        self._lines[name] = line
        self._new += 1
        return ListedRun(info, line)

    def keep_results(self, run: ListedRun, results: Any) -> None:
        """Keep the results of a run as long as its files do not change.

        Args:
            run: The run, looked at before its results were read.
            results: Any JSON value but None.
        """
        if run.line is not None:
            run.line[3] = results
            self._new += 1

    def save(self) -> None:
        """Write the index if it has become much better; where it cannot be written, there is none.

        Runs that are gone are left out.
        """
        if not self._is_used or self._new < _SHARE_READ * len(self._indexed):
            return
        lines = {name: line for name, line in self._lines.items() if name in self._indexed}
        text = json.dumps(lines, separators=(",", ":"))
        text = f"{json.dumps(_head(text.encode()))}\n{text}"
        with contextlib.suppress(OSError, QfidError):
            path = cache_folder() / _FILE
            path.parent.mkdir(parents=True, exist_ok=True)
            _remove_left_over(path)
            write_atomic(path, text)
            self._new = 0


def _head(lines: bytes) -> list[int | str]:
    """What stands before the lines: they are believed only behind the very same."""
    return [SCHEMA, __version__, *_KEPT, zlib.crc32(lines)]


def _stored_lines(runs: int) -> dict[str, _Line]:
    """The lines of the stored index; none where it cannot be used."""
    try:
        with open_regular(cache_folder() / _FILE) as file:
            if os.fstat(file.fileno()).st_size > runs * _BYTES_PER_RUN:
                return {}
            head, _, lines = file.read().partition(b"\n")
        if json.loads(head) != _head(lines):
            return {}
        found: dict[str, _Line] = json.loads(lines)
    except (OSError, QfidError, ValueError, RecursionError, MemoryError):
        return {}
    return found


def _stamps(run: str, folder: int | None) -> list[int] | None:
    """Time of the last change, size and inode of each file; None where they cannot be had.

    The time is that of any change, not of the last writing, which can be set back.

    Args:
        run: Path of the run's folder.
        folder: Descriptor of the folder that the path begins in; None for an absolute path.
    """
    found: list[int] = []
    look = os.lstat
    for name in _FILES:
        try:
            status = look(run + name, dir_fd=folder)
        except FileNotFoundError:
            found += _NO_FILE
        except (OSError, ValueError):
            return None
        else:
            found += (status.st_ctime_ns, status.st_size, status.st_ino)
    return found


def _can_be_kept(info: RunInfo) -> bool:
    return info.state in ("finished", "unfinished") and info.is_whole


def _kept_info(name: str, folder: str, line: _Line) -> RunInfo | None:
    """The line of a run as it is kept; None where the run is written to now."""
    _, state, (model, settings, corpus, length, created, done, planned, failed, *others), _ = line
    if state == "unfinished" and holder(folder) is not None:
        return None
    return RunInfo(
        *(name, folder, state, "", model, tuple(settings), corpus, length),
        *(created, done, planned, tuple(failed), *others),
    )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _remove_left_over(path: Path) -> None:
    """Remove what processes left that were killed while they wrote the index."""
    for left_over in path.parent.glob(f".{path.name}.*"):
        with contextlib.suppress(OSError):
            if time.time() - left_over.stat().st_mtime > _LEFT_OVER_SECONDS:
                left_over.unlink()
