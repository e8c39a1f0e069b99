"""Tries a BLAS in a process of its own: one that cannot work ends the process that calls it.

MKL reads variables such as ``MKL_THREADING_LAYER`` when it is first called, loads further files,
and calls ``exit(2)`` where one is missing. What was found out is kept on disk, by the state of the
file and by the variables that a BLAS reads, so that only the first start takes the time: about 0.2
seconds.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import astuple, dataclass
from pathlib import Path

from scorer.common.atomic_files import write_atomic
from scorer.common.errors import QfidError
from scorer.common.folders import cache_folder
from scorer.common.inert_text import inert
from scorer.models.file_stamp import FileStamp

# To be raised when the same library is judged otherwise.
_FORMAT = 1
_SECONDS = 30.0
_NO_LIBRARY = 3
_PREFIXES = ("BLIS_", "GOTO_", "KMP_", "LD_", "MKL_", "OMP_", "OPENBLAS_", "TBB")

# A product large enough for the threads of the library, checked at its corners.
_PROGRAM = f"""
import ctypes, resource, sys
resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
try:
    library = ctypes.CDLL(sys.argv[1], ctypes.RTLD_GLOBAL)
    multiply = library.cblas_sgemm
except (OSError, AttributeError):
    sys.exit({_NO_LIBRARY})
n = 256
ones, out = (ctypes.c_float * (n * n))(*[1.0] * (n * n)), (ctypes.c_float * (n * n))()
multiply.restype = None
one, zero = ctypes.c_float(1.0), ctypes.c_float(0.0)
multiply(101, 111, 111, n, n, n, one, ones, n, ones, n, zero, out, n)
print("right" if out[0] == out[n * n - 1] == n else "wrong")
"""


@dataclass(frozen=True, slots=True)
class Trial:
    """Whether a library multiplies.

    Attributes:
        works: Whether it does.
        loads: Whether the file is a BLAS for this machine at all.
        variable: The environment variable without which it would work; None if there is no such
            variable, or several together are at fault.
        said: Its last words where it does not work, one line; may be empty.
    """

    works: bool
    loads: bool = True
    variable: str | None = None
    said: str = ""


_WORKS = Trial(works=True)


def tried(file: str) -> Trial:
    """Return whether a BLAS works under the present environment variables.

    Args:
        file: Path of the library.
    """
    kept = _place(file)
    known = None if kept is None else _read(kept)
    if known is not None:
        return known
    found = _try(file)
    # What nothing explains may have been a lack of memory, or of time.
    if kept is not None and (found.works or not found.loads or found.variable is not None):
        with contextlib.suppress(OSError, QfidError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(kept, json.dumps({"trial": astuple(found)}) + "\n")
    return found


def _try(file: str) -> Trial:
    found = _once(file, os.environ)
    if found.works or not found.loads:
        return found
    for name in _read_by_libraries():
        without = {key: value for key, value in os.environ.items() if key != name}
        if _once(file, without).works:
            return Trial(works=False, variable=name, said=found.said)
    return found


def _once(file: str, environment: Mapping[str, str]) -> Trial:
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _PROGRAM, file],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Trial(works=False, said=f"it does not multiply within {_SECONDS:.0f} seconds")
    except (OSError, ValueError):
        # It cannot be tried. Most libraries that load work.
        return _WORKS
    if done.returncode == _NO_LIBRARY:
        return Trial(works=False, loads=False)
    if done.returncode == 0 and done.stdout.strip() == b"right":
        return _WORKS
    # MKL says why on standard output.
    words = (done.stderr.strip() or done.stdout.strip()).decode("utf-8", "replace").splitlines()
    return Trial(works=False, said=inert(words[-1])[:200] if words else "")


def _read_by_libraries() -> list[str]:
    """The variables that are set and that a BLAS, its threads or the dynamic linker may read."""
    return sorted(name for name in os.environ if name.startswith(_PREFIXES))


def _place(file: str) -> Path | None:
    """Where the outcome is kept; None without a cache folder, or if the file cannot be looked at.

    The folder of the library counts too: its other parts lie there.
    """
    try:
        states = [astuple(FileStamp.of(path.stat())) for path in (Path(file), Path(file).parent)]
        folder = cache_folder() / "blas"
    except (OSError, QfidError):
        return None
    variables = {name: os.environ[name] for name in _read_by_libraries()}
    key = json.dumps([_FORMAT, file, states, sys.executable, variables], sort_keys=True)
    return folder / f"{hashlib.sha256(key.encode('utf-8', 'replace')).hexdigest()}.json"


def _read(path: Path) -> Trial | None:
    try:
        works, loads, variable, said = json.loads(path.read_bytes())["trial"]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    if type(works) is not bool or type(loads) is not bool or not isinstance(said, str):
        return None
    if variable is not None and not isinstance(variable, str):
        return None
    return Trial(works, loads, variable, said)
