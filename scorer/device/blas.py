"""Loads an optimized BLAS before ``mlx.core``, for MLX's CPU backend on Linux.

MLX's CPU wheel calls the ``cblas_*`` symbols of the library that the dynamic linker finds first. If
MKL, OpenBLAS or BLIS is loaded with RTLD_GLOBAL before ``mlx.core``, it takes precedence over the
reference BLAS of the wheel, and a float32 matmul is 20 to 40 times as fast. Loaded later, it has no
effect and there is no error. So the BLAS is chosen once, here, and checked by timing one matmul.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import site
import sys
import time
from pathlib import Path

from scorer.common.errors import InputError

NONE_FOUND = "none found"
# A 512³ float32 matmul takes 1.5 to 6 ms with an optimized BLAS, 47 to 50 ms with reference BLAS.
SLOW_MATMUL_SECONDS = 0.025

# Names under which the dynamic linker finds a BLAS that the system has, in order of preference.
# ctypes.util.find_library would look for other names too, but starts ldconfig, gcc and ld.
_SYSTEM_LIBRARIES = (
    *("libmkl_rt.so", "libmkl_rt.so.3", "libmkl_rt.so.2", "libmkl_rt.so.1"),
    *("libopenblas.so.0", "libopenblas.so", "libopenblasp.so.0", "libopenblaso.so.0"),
    *("libblis.so", "libblis.so.5", "libblis.so.4", "libblis.so.3", "libblis.so.2"),
)

_chosen: str | None = None


def preload_blas() -> str:
    """Load the best available BLAS, once, before ``mlx.core`` is imported.

    ``QFID_BLAS`` names a library file to load, or ``none`` to load nothing.

    Returns:
        ``MKL``, ``OpenBLAS``, ``BLIS``, a file name, ``Accelerate`` on macOS, or ``none found``.

    Raises:
        InputError: The file that ``QFID_BLAS`` names cannot be loaded.
    """
    global _chosen
    if _chosen is not None:
        return _chosen
    if platform.system() != "Linux":
        _chosen = "Accelerate" if platform.system() == "Darwin" else NONE_FOUND
        return _chosen
    if "mlx.core" in sys.modules:
        # Too late: MLX uses the library that the importing program has loaded.
        _chosen = _loaded_blas() or NONE_FOUND
        return _chosen
    _chosen = _from_environment() or _first_that_loads() or NONE_FOUND
    return _chosen


def _from_environment() -> str | None:
    wanted = os.environ.get("QFID_BLAS")
    if not wanted:
        return None
    if wanted == "none":
        return NONE_FOUND
    try:
        ctypes.CDLL(wanted, ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise InputError(
            f"the BLAS library `{wanted}` named by QFID_BLAS does not load", str(error)
        ) from None
    return _name_of(wanted)


def _first_that_loads() -> str | None:
    for library in _candidates():
        try:
            ctypes.CDLL(str(library), ctypes.RTLD_GLOBAL)
        except OSError:
            continue
        return _name_of(str(library))
    return None


def _candidates() -> list[str]:
    """Return library files and names in order of preference, MKL of this environment first."""
    prefixes = dict.fromkeys([sys.prefix, sys.base_prefix, site.getuserbase()])
    found = [
        str(library)
        for prefix in prefixes
        for library in sorted(Path(prefix, "lib").glob("libmkl_rt.so*"), reverse=True)
    ]
    return [*found, *_SYSTEM_LIBRARIES]


def _name_of(library: str) -> str:
    name = Path(library).name.lower()
    for part, title in (("mkl", "MKL"), ("openblas", "OpenBLAS"), ("blis", "BLIS")):
        if part in name:
            return title
    return Path(library).name


def _loaded_blas() -> str | None:
    """Return the optimized BLAS that this process has mapped, or None (Linux only)."""
    try:
        maps = Path("/proc/self/maps").read_text()
    except OSError:
        return None
    # Mapped files have full names such as libopenblasp-r0.3.21.so. libopenblas64_ and
    # libscipy_openblas belong to NumPy, and MLX does not call their symbols.
    for part, title in (
        (r"libmkl_rt", "MKL"),
        (r"libopenblas[op]?[-.]", "OpenBLAS"),
        (r"libblis", "BLIS"),
    ):
        if re.search(part, maps):
            return title
    return None


def matmul_seconds(size: int = 512) -> float:
    """Time a float32 matmul on MLX's CPU device, the best of three.

    The smaller of wall time and CPU time counts, because a busy machine is no sign of a slow BLAS.

    Args:
        size: Rows and columns of both matrices.

    Returns:
        Seconds.
    """
    import mlx.core as mx

    with mx.stream(mx.cpu):
        a = mx.random.normal((size, size), key=mx.random.key(0))
        mx.eval(a, a @ a)
        best = float("inf")
        for _ in range(3):
            start, cpu_start = time.perf_counter(), time.process_time()
            mx.eval(a @ a)
            spent = time.perf_counter() - start, time.process_time() - cpu_start
            best = min(best, *spent)
    return best
