"""Loads an optimized BLAS before ``mlx.core``, for MLX's CPU backend on Linux.

MLX's CPU wheel calls the ``cblas_*`` symbols of the library that the dynamic linker finds first. If
MKL, OpenBLAS or BLIS is loaded with RTLD_GLOBAL before ``mlx.core``, it takes precedence over the
reference BLAS of the wheel, and a float32 matmul is 20 to 40 times as fast. Loaded later, it has no
effect and there is no error. So the BLAS is chosen once, here.

Most of what is scored on a CPU is multiplied by NumPy, with a BLAS of its own: this one matters
where MLX multiplies, see :mod:`scorer.device.slow_products`.
"""

from __future__ import annotations

import ctypes
import os
import platform
import re
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from scorer.common.errors import InputError
from scorer.device.blas_files import blas_files
from scorer.device.blas_trial import Trial, tried

NONE_FOUND = "none found"
# A 512³ float32 matmul takes 1.5 to 6 ms with an optimized BLAS, 47 to 50 ms with reference BLAS.
SLOW_MATMUL_SECONDS = 0.025


@dataclass(frozen=True, slots=True)
class UnusableBlas:
    """A library that loads and does not work.

    Attributes:
        name: ``MKL``, ``OpenBLAS``, ``BLIS`` or a file name.
        file: Its path.
        variable: The environment variable without which it would work, or None.
        said: Its last words, one line; may be empty.
    """

    name: str
    file: str
    variable: str | None
    said: str

    def described(self) -> tuple[str, str]:
        """What is wrong, and what to do next."""
        said = f": {self.said}" if self.said else ""
        if self.variable is not None:
            return (
                f"{self.name} cannot multiply while {self.variable} is "
                f"`{os.environ.get(self.variable, '')[:80]}`{said}",
                f"unset {self.variable}",
            )
        return (
            f"{self.name} is installed and cannot multiply ({self.file}){said}",
            "install it again, or set QFID_BLAS=none to leave it out",
        )


@dataclass(frozen=True, slots=True)
class BlasChoice:
    """The BLAS of MLX's CPU backend.

    Attributes:
        name: ``MKL``, ``OpenBLAS``, ``BLIS``, a file name, ``Accelerate`` on macOS, or
            ``none found``.
        unusable: Libraries that were preferred and do not work.
        late: The library that would have been loaded if MLX had not been imported before; None if
            there is none, or it was not.
    """

    name: str
    unusable: tuple[UnusableBlas, ...] = ()
    late: str | None = None


_chosen: BlasChoice | None = None


def preload_blas() -> BlasChoice:
    """Load the best BLAS that works, once, before ``mlx.core`` is imported.

    ``QFID_BLAS`` names a library file to load, or ``none`` to load nothing.

    Raises:
        InputError: The file that ``QFID_BLAS`` names cannot be loaded, or does not work.
    """
    global _chosen
    if _chosen is None:
        _chosen = _choose()
    return _chosen


def _choose() -> BlasChoice:
    if platform.system() != "Linux":
        return BlasChoice("Accelerate" if platform.system() == "Darwin" else NONE_FOUND)
    if "mlx.core" in sys.modules:
        # Too late: MLX uses the library that the importing program has loaded.
        name = _loaded_blas()
        if name is not None:
            return BlasChoice(name)
        wanted = os.environ.get("QFID_BLAS") != "none"
        works = (file for file in blas_files() if tried(file).works) if wanted else iter(())
        return BlasChoice(NONE_FOUND, late=next(works, None))
    return _from_environment() or _first_that_works()


def _from_environment() -> BlasChoice | None:
    wanted = os.environ.get("QFID_BLAS")
    if not wanted:
        return None
    if wanted == "none":
        return BlasChoice(NONE_FOUND)
    trial = tried(wanted)
    if trial.loads and not trial.works:
        message, hint = _unusable(wanted, trial).described()
        raise InputError(f"{message}; QFID_BLAS names it", f"{hint}, or unset QFID_BLAS")
    try:
        ctypes.CDLL(wanted, ctypes.RTLD_GLOBAL)
    except OSError as error:
        raise InputError(
            f"the BLAS library `{wanted}` named by QFID_BLAS does not load", str(error)
        ) from None
    return BlasChoice(name_of(wanted))


def _first_that_works() -> BlasChoice:
    unusable: dict[str, UnusableBlas] = {}
    for file in blas_files():
        trial = tried(file)
        name = name_of(file)
        if trial.works:
            try:
                ctypes.CDLL(file, ctypes.RTLD_GLOBAL)
            except OSError:
                continue
            return BlasChoice(name, tuple(unusable.values()))
        if trial.loads:
            # A library can lie there under several names.
            unusable.setdefault(name, _unusable(file, trial))
    return BlasChoice(NONE_FOUND, tuple(unusable.values()))


def _unusable(file: str, trial: Trial) -> UnusableBlas:
    return UnusableBlas(name_of(file), file, trial.variable, trial.said)


def name_of(library: str) -> str:
    """Return ``MKL``, ``OpenBLAS``, ``BLIS``, or the name of the file."""
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


@cache
def product_seconds() -> float:
    """What :func:`matmul_seconds` returned first in this process."""
    return matmul_seconds()


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
