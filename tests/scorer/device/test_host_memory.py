"""Memory of the machine: what /proc says, what control groups leave of it, what macOS says."""

from __future__ import annotations

import ctypes
import io
import os
import platform
import resource
from typing import Any

import pytest

from scorer.common import control_groups
from scorer.device import host_memory as module
from scorer.device.host_memory import HostMemory, free_percent, host_memory, memory_for_run
from scorer.device.memory import memory_in_use

MACHINE = {"/proc/meminfo": "MemTotal: 16000 kB\nMemFree: 1 kB\nMemAvailable: 8000 kB\n"}


def readable(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    def opened(path: Any, **_: Any) -> io.StringIO:
        if str(path) not in files:
            raise FileNotFoundError(path)
        return io.StringIO(files[str(path)])

    for reader in (module, control_groups):
        monkeypatch.setattr(reader, "open", opened, raising=False)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, (16000, 8000)),
        ({"memory.max": "max\n", "memory.current": "5000\n"}, (16000, 8000)),
        ({"memory.max": "4096000\n", "memory.current": "1024000\n"}, (4000, 3000)),
        ({"memory.max": "4096000\n", "memory.current": "9999999\n"}, (4000, 0)),
        # A group as large as the machine that others have filled.
        ({"memory.max": "16384000\n", "memory.current": "15360000\n"}, (16000, 1000)),
        # A group larger than the machine limits nothing, as version 1 says "no limit".
        (
            {
                "memory/memory.limit_in_bytes": "9223372036854771712\n",
                "memory/memory.usage_in_bytes": "1\n",
            },
            (16000, 8000),
        ),
        ({"memory.max": "garbage\n", "memory.current": "1\n"}, (16000, 8000)),
        ({"memory.max": "4096000\n"}, (16000, 8000)),
    ],
)
def test_memory_is_the_control_groups_where_it_is_less(
    monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: tuple[int, int]
) -> None:
    """Sizes in KiB."""
    held = MACHINE | {f"/sys/fs/cgroup/{name}": text for name, text in files.items()}
    readable(monkeypatch, held)
    assert tuple(size // 1024 for size in host_memory()) == expected


def test_the_tightest_of_nested_groups_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    slice_, service = "/sys/fs/cgroup/user.slice", "/sys/fs/cgroup/user.slice/qfid.service"
    files = {
        "/proc/self/cgroup": "0::/user.slice/qfid.service\n",
        f"{slice_}/memory.max": "6144000\n",
        f"{slice_}/memory.current": "5120000\n",
        f"{service}/memory.max": "8192000\n",
        f"{service}/memory.current": "1024\n",
    }
    readable(monkeypatch, MACHINE | files)
    assert tuple(size // 1024 for size in host_memory()) == (6000, 1000)


def test_version_1_names_the_group_of_the_memory_controller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    group = "/sys/fs/cgroup/memory/docker/abc"
    files = {
        "/proc/self/cgroup": "5:cpu,cpuacct:/docker/cpu\n4:memory:/docker/abc\n",
        f"{group}/memory.limit_in_bytes": "4096000\n",
        f"{group}/memory.usage_in_bytes": "3072000\n",
        f"{group}/memory.stat": "inactive_file 1024\ntotal_inactive_file 1024000\n",
    }
    readable(monkeypatch, MACHINE | files)
    assert tuple(size // 1024 for size in host_memory()) == (4000, 2000)


def test_cached_file_pages_are_not_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {
        "/sys/fs/cgroup/memory.max": "4096000\n",
        "/sys/fs/cgroup/memory.current": "4096000\n",
        "/sys/fs/cgroup/memory.stat": "anon 1024000\nfile 3072000\ninactive_file 2048000\n",
    }
    readable(monkeypatch, MACHINE | files)
    assert host_memory().available // 1024 == 2000


def test_memory_without_proc_is_the_machines(monkeypatch: pytest.MonkeyPatch) -> None:
    readable(monkeypatch, {})
    total, free = host_memory()
    assert total == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert free == total or platform.system() == "Darwin"
    assert memory_in_use() > 0


@pytest.mark.parametrize(
    ("level", "failed", "percent"), [(37, 0, 37), (37, -1, None), (900, 0, None)]
)
def test_macos_counts_its_own_free_memory(
    monkeypatch: pytest.MonkeyPatch, level: int, failed: int, percent: int | None
) -> None:
    class Library:
        @staticmethod
        def sysctlbyname(name: bytes, value: Any, *_: Any) -> int:
            assert name == b"kern.memorystatus_level"
            value._obj.value = level
            return failed

    readable(monkeypatch, {})
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: Library)
    assert free_percent() == percent
    total, free = host_memory()
    assert free == (total if percent is None else total * percent // 100)


def test_a_system_without_the_call_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    assert free_percent() is None


@pytest.mark.parametrize(("total", "low"), [(1 << 30, (1 << 30) // 20), (1 << 40, 2 << 30)])
def test_low_is_a_twentieth_and_two_gib_at_most(total: int, low: int) -> None:
    assert HostMemory(total, 0).low == low


def test_a_bound_on_the_address_space_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    readable(monkeypatch, MACHINE | {"/proc/self/statm": "1000 1 1 1 0 1 0\n"})
    monkeypatch.setattr(resource, "getrlimit", lambda _: (1300 * page, -1))
    assert host_memory() == (1300 * page, 300 * page)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (900 * page, -1))
    assert host_memory().available == 0
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, -1))
    assert host_memory().available == 8000 * 1024


def test_a_run_counts_on_less_than_the_bound_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    page, mib = os.sysconf("SC_PAGE_SIZE"), 1 << 20
    readable(monkeypatch, MACHINE | {"/proc/self/statm": "1000 1 1 1 0 1 0\n"})
    whole = HostMemory(8000 * mib, 8000 * mib)
    for bound, counted in ((700, 60), (600, 0), (9000, 8000)):
        limit = 1000 * page + bound * mib
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, -1))
        assert memory_for_run(whole) == (8000 * mib, counted * mib)
    monkeypatch.setattr(resource, "getrlimit", lambda _: (resource.RLIM_INFINITY, -1))
    assert memory_for_run(whole) == whole
