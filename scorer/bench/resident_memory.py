"""Resident memory of this process, and its peak since a moment."""

from __future__ import annotations

import contextlib
import ctypes
import platform
import re
import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")
# Writing 5 resets the peak of resident memory to its current value (Linux).
_CLEAR = Path("/proc/self/clear_refs")


def return_free_memory() -> None:
    """Return free memory of malloc to the system, where that can be done (Linux)."""
    if platform.system() == "Linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).malloc_trim(0)


def reset_resident_peak() -> None:
    """Let the peak begin at the current use; where that cannot be done, it stays the process'."""
    if platform.system() == "Linux":
        # A container may forbid it.
        with contextlib.suppress(OSError):
            _CLEAR.write_text("5")


def resident_memory() -> int:
    """Bytes in use; the peak where the system does not say."""
    return _of_status("VmRSS") or resident_peak()


def resident_peak() -> int:
    """The largest number of bytes in use since the last reset."""
    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return _of_status("VmHWM") or largest * (1 if platform.system() == "Darwin" else 1024)


def _of_status(name: str) -> int | None:
    try:
        found = re.search(rf"{name}:\s+(\d+) kB", _STATUS.read_text())
    except OSError:
        return None
    return int(found.group(1)) * 1024 if found else None
