"""Control groups of Linux: what a container or a service may use. Standard library only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_GROUPS = Path("/sys/fs/cgroup")


def group_folders(controller: str) -> Iterator[tuple[Path, bool]]:
    """Yield the folders of the control groups of this process, the innermost first.

    Version 2 has one path for all controllers, version 1 one for each. In a container the path may
    be outside the mount, and then the mount itself is the group.

    Args:
        controller: ``memory`` or ``cpu``.

    Yields:
        A folder, which need not exist, and whether it is of version 2.
    """
    for line in read_lines(Path("/proc/self/cgroup")) or ["0::/"]:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            base = _GROUPS
        elif controller in controllers.split(","):
            base = _GROUPS / controller
        else:
            continue
        own = base / path.strip().lstrip("/")
        for folder in (own, *own.parents):
            if folder == base or base in folder.parents:
                yield folder, controllers == ""


def cpu_quota() -> float | None:
    """Return the cores whose time this process may use, such as 1.5; None without a limit."""
    quotas = [_quota(folder, unified) for folder, unified in group_folders("cpu")]
    return min((quota for quota in quotas if quota is not None), default=None)


def _quota(folder: Path, unified: bool) -> float | None:
    names = ("cpu.max",) if unified else ("cpu.cfs_quota_us", "cpu.cfs_period_us")
    words = [word for name in names for line in read_lines(folder / name) for word in line.split()]
    try:
        quota, period = map(int, words)
    except ValueError:
        # No such file, or `max`: no limit.
        return None
    return quota / period if quota > 0 and period > 0 else None


def read_lines(path: Path) -> list[str]:
    """Return the lines of a file of the kernel; none where it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123
            return file.read().splitlines()
    except OSError:
        return []
