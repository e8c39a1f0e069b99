"""How much memory this machine has and how much of it can still be taken without swapping.

Linux: ``MemAvailable``, the limits of every control group this process is in, and the bound on its
address space. macOS: the kernel's own level of free memory. Pure standard library, no mlx.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_GROUPS = Path("/sys/fs/cgroup")
_LOW_SHARE = 20
_LOW_MOST = 2 << 30
# Mapped by a run and never touched: stacks and allocator arenas of threads, buffers of the BLAS.
# Runs on three models took 0.4 to 0.65 GiB of address space more than of memory.
_UNTOUCHED = 640 << 20


class HostMemory(NamedTuple):
    """Bytes of memory: what there is, control groups included, and what is available."""

    total: int
    available: int

    @property
    def low(self) -> int:
        """Available bytes below which a run should end in order: 5 %, at most 2 GiB."""
        return min(self.total // _LOW_SHARE, _LOW_MOST)


def host_memory() -> HostMemory:
    """Memory of this machine, or of the tightest control group around this process."""
    found = _machine_memory()
    for limit, used in _control_groups():
        if limit < found.total:
            found = HostMemory(limit, max(0, min(found.available, limit - used)))
        elif limit - used < found.available:
            found = HostMemory(found.total, max(0, limit - used))
    bound = _address_space()
    return found if bound is None else HostMemory(*map(min, found, bound))


def before_a_run(memory: HostMemory) -> HostMemory:
    """What of the host's memory a run that has not begun may count on.

    Under ``ulimit -v`` a run takes more of the bound than it takes memory, and MLX does not
    survive an allocation that fails.
    """
    bound = _address_space()
    if bound is None:
        return memory
    return memory._replace(available=min(memory.available, max(0, bound.available - _UNTOUCHED)))


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
    """Bytes this process may map, and may still map, where ``ulimit -v`` bounds it, else None."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    mapped = _lines(Path("/proc/self/statm"))
    if limit == resource.RLIM_INFINITY or not mapped:
        return None
    left = limit - int(mapped[0].split()[0]) * os.sysconf("SC_PAGE_SIZE")
    return HostMemory(limit, max(0, left))


def free_percent() -> int | None:
    """Free memory in percent as macOS counts it (``kern.memorystatus_level``), or None."""
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
    """Limit and use in bytes of each limited control group around this process.

    Version 2 names one path for all controllers, version 1 one for ``memory``; in a container the
    path may lie outside what is mounted, and the mount itself is the group.
    """
    for line in _lines(Path("/proc/self/cgroup")) or ["0::/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            base, names = _GROUPS, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            base = _GROUPS / "memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        own = base / path.strip().lstrip("/")
        for folder in (own, *own.parents):
            if folder == base or base in folder.parents:
                group = _limit_and_use(folder, *names)
                if group is not None:
                    yield group


def _limit_and_use(folder: Path, limit_name: str, used_name: str) -> tuple[int, int] | None:
    try:
        limit = int("".join(_lines(folder / limit_name)))
        used = int("".join(_lines(folder / used_name)))
    except ValueError:
        return None
    # Cached file pages count as used and are given up before anything else is.
    stat = dict(line.split(" ", 1) for line in _lines(folder / "memory.stat") if " " in line)
    cached = stat.get("total_inactive_file", stat.get("inactive_file", "")).strip()
    return limit, max(used - (int(cached) if cached.isdecimal() else 0), 0)


def _lines(path: Path) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().splitlines()
    except OSError:
        return []
