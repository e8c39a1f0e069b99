"""Total memory of this machine, and memory available without swapping.

Linux: ``MemAvailable``, the limits of all control groups of this process, and the limit of its
address space. macOS: the kernel's level of free memory. No third-party package.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from scorer.common.control_groups import group_folders, read_lines
from scorer.common.device_kind import DeviceKind

_LOW_SHARE = 20
_LOW_MOST = 2 << 30
# Address space that a run maps but does not use: stacks and allocator arenas of threads, buffers of
# the BLAS. Runs of three models mapped 0.4 to 0.65 GiB more than they used.
_UNUSED = 640 << 20


class HostMemory(NamedTuple):
    """Bytes of total and of available memory, within the limits of control groups."""

    total: int
    available: int

    @property
    def low(self) -> int:
        """Available bytes below which a run should stop: 5 % of the total, at most 2 GiB."""
        return min(self.total // _LOW_SHARE, _LOW_MOST)

    @property
    def is_all_but_gone(self) -> bool:
        """Whether so little is available that nothing can be waited for."""
        return self.available < self.low // 2


def host_memory() -> HostMemory:
    """Return the memory of this machine, or of the tightest control group of this process."""
    found = _machine_memory()
    for limit, used in _control_groups():
        if limit < found.total:
            found = HostMemory(limit, max(0, min(found.available, limit - used)))
        elif limit - used < found.available:
            found = HostMemory(found.total, max(0, limit - used))
    bound = _address_space()
    return found if bound is None else HostMemory(*map(min, found, bound))


def memory_for_run(memory: HostMemory) -> HostMemory:
    """Return the memory that a run may plan to use.

    With ``ulimit -v``, mapped but unused address space counts too, and a failed allocation ends the
    process in MLX, so a reserve is subtracted.
    """
    bound = _address_space()
    if bound is None:
        return memory
    return memory._replace(available=min(memory.available, max(0, bound.available - _UNUSED)))


def _machine_memory() -> HostMemory:
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123
            table = {
                key: int(rest.split()[0]) * 1024 for key, rest in (x.split(":") for x in lines)
            }
        return HostMemory(table["MemTotal"], table["MemAvailable"])
    except (OSError, KeyError, ValueError, IndexError):
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        level = free_percent()
        return HostMemory(total, total if level is None else total * level // 100)


def _address_space() -> HostMemory | None:
    """Return the limit of ``ulimit -v`` and the bytes left below it, or None without a limit."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    mapped = read_lines(Path("/proc/self/statm"))
    if limit == resource.RLIM_INFINITY or not mapped:
        return None
    unmapped = limit - int(mapped[0].split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return HostMemory(limit, max(0, unmapped))


def free_percent() -> int | None:
    """Return the free memory of macOS in percent (``kern.memorystatus_level``), or None."""
    if platform.system() != "Darwin":
        return None
    value = ctypes.c_uint32()
    size = ctypes.c_size_t(ctypes.sizeof(value))
    try:
        failed = ctypes.CDLL(None).sysctlbyname(
            b"kern.memorystatus_level", ctypes.byref(value), ctypes.byref(size), None, 0
        )
    except (OSError, AttributeError):
        return None
    return None if failed or value.value > 100 else value.value


def _control_groups() -> Iterator[tuple[int, int]]:
    """Yield limit and use in bytes of each control group of this process that has a limit."""
    for folder, unified in group_folders("memory"):
        names = ("max", "current") if unified else ("limit_in_bytes", "usage_in_bytes")
        group = _limit_and_use(folder, *(f"memory.{name}" for name in names))
        if group is not None:
            yield group


def _limit_and_use(folder: Path, limit_name: str, used_name: str) -> tuple[int, int] | None:
    try:
        limit = int("".join(read_lines(folder / limit_name)))
        used = int("".join(read_lines(folder / used_name)))
    except ValueError:
        return None
    # Inactive file pages count as used, but the kernel frees them first.
    stat = dict(line.split(" ", 1) for line in read_lines(folder / "memory.stat") if " " in line)
    cached = stat.get("total_inactive_file", stat.get("inactive_file", "")).strip()
    return limit, max(used - (int(cached) if cached.isdecimal() else 0), 0)


def shared_memory(memory: HostMemory, kind: DeviceKind, processes: int) -> HostMemory:
    """The memory of one of several processes; on CUDA each has a card of its own."""
    if kind == "cuda" or processes == 1:
        return memory
    return memory._replace(available=memory.low + (memory.available - memory.low) // processes)
