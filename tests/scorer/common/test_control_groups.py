"""The time of the processor that control groups allow, and the threads that follow it."""

from __future__ import annotations

import io
from typing import Any

import pytest

from scorer.common import control_groups, process_limits
from scorer.common.control_groups import cpu_quota
from scorer.common.process_limits import core_count
from scorer.device.run_state import _variables


@pytest.fixture
def files(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The files that can be read; tests add theirs."""
    found: dict[str, str] = {}

    def opened(path: Any, **_: Any) -> io.StringIO:
        if str(path) not in found:
            raise FileNotFoundError(path)
        return io.StringIO(found[str(path)])

    monkeypatch.setattr(control_groups, "open", opened, raising=False)
    monkeypatch.setattr(process_limits, "cores_here", lambda: 64)
    monkeypatch.setattr("scorer.device.run_state.cores_here", lambda: 64)
    return found


@pytest.mark.parametrize(
    ("text", "quota", "cores"),
    [
        ("max 100000\n", None, 64),
        ("200000 100000\n", 2.0, 2),
        ("150000 100000\n", 1.5, 2),
        ("10000 100000\n", 0.1, 1),
        ("9999999 1000\n", 9999.999, 64),
        ("garbage\n", None, 64),
        ("0 0\n", None, 64),
    ],
)
def test_version_2(files: dict[str, str], text: str, quota: float | None, cores: int) -> None:
    files["/sys/fs/cgroup/cpu.max"] = text
    assert (cpu_quota(), core_count()) == (quota, cores)
    assert _variables().get("OMP_NUM_THREADS") == (None if cores == 64 else str(cores))


def test_the_tightest_of_nested_groups_counts(files: dict[str, str]) -> None:
    files |= {
        "/proc/self/cgroup": "0::/user.slice/qfid.service\n",
        "/sys/fs/cgroup/user.slice/cpu.max": "300000 100000\n",
        "/sys/fs/cgroup/user.slice/qfid.service/cpu.max": "800000 100000\n",
    }
    assert cpu_quota() == 3.0


@pytest.mark.parametrize(("quota", "expected"), [("400000\n", 4.0), ("-1\n", None)])
def test_version_1(files: dict[str, str], quota: str, expected: float | None) -> None:
    files |= {
        "/proc/self/cgroup": "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n",
        "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_quota_us": quota,
        "/sys/fs/cgroup/cpu/docker/abc/cpu.cfs_period_us": "100000\n",
    }
    assert cpu_quota() == expected


def test_a_system_without_control_groups(files: dict[str, str]) -> None:
    assert cpu_quota() is None and core_count() == 64
