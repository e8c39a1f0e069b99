"""Which BLAS multiplies for MLX's CPU backend and for NumPy: name, version, kernels.

The dynamic linker says which file a function comes from, and the library itself its version. No
program is started. NumPy's wheels bring an OpenBLAS of their own, whatever MLX was given.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

# The product that NumPy's wheels call; builds of others call the plain name, as MLX does.
_OWN_PRODUCTS = (
    "scipy_cblas_sgemm64_",
    "cblas_sgemm64_",
    "scipy_cblas_sgemm",
    "cblas_sgemm$NEWLAPACK$ILP64",
)
_PRODUCT = "cblas_sgemm"
_AFFIXES = (("scipy_", "64_"), ("", "64_"), ("scipy_", ""), ("", ""))


class _Place(ctypes.Structure):
    """``Dl_info`` of ``dladdr``."""

    _fields_ = (
        ("file", ctypes.c_char_p),
        ("base", ctypes.c_void_p),
        ("name", ctypes.c_char_p),
        ("address", ctypes.c_void_p),
    )


@cache
def mlx_blas() -> str | None:
    """The BLAS of MLX's CPU backend, ``MKL 2026.2``; None where it cannot be told."""
    import mlx.core as mx

    return _named(str(mx.__file__), ())


@cache
def numpy_blas() -> str | None:
    """NumPy's BLAS, ``OpenBLAS 0.3.31 (SkylakeX)``; None where it cannot be told."""
    import numpy

    # NumPy 1 has no underscore there.
    for name in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):
        if (extension := sys.modules.get(name)) is not None and extension.__file__ is not None:
            return _named(extension.__file__, _OWN_PRODUCTS)
    raise AssertionError(f"numpy {numpy.__version__} has no module of array functions")


def _named(extension: str, own: Sequence[str]) -> str | None:
    """The BLAS that an extension module calls.

    Args:
        extension: Its file, imported before.
        own: Names of the product that only libraries made for the extension have.
    """
    with contextlib.suppress(OSError):
        loaded, everyone = ctypes.CDLL(extension), ctypes.CDLL(None)
        # The linker prefers what everyone sees to what the extension brings.
        for library, name in (
            *((loaded, name) for name in own),
            (everyone, _PRODUCT),
            (loaded, _PRODUCT),
        ):
            if (file := _file_of(library, name)) is not None:
                return described(file)
    return None


def _file_of(library: ctypes.CDLL, name: str) -> str | None:
    """The file that a function comes from; None where the library and what it needs lack it."""
    try:
        function, locate = getattr(library, name), ctypes.CDLL(None).dladdr
    except AttributeError:
        return None
    place = _Place()
    found = locate(ctypes.cast(function, ctypes.c_void_p), ctypes.byref(place))
    return os.fsdecode(place.file) if found and place.file else None


def described(file: str) -> str:
    """Name and version of a BLAS.

    Args:
        file: The library, loaded by this process.
    """
    if any(part in file for part in ("Accelerate", "vecLib")):
        return f"Accelerate of macOS {platform.mac_ver()[0]}"
    library = ctypes.CDLL(file)
    for before, after in _AFFIXES:
        config = _text(library, f"{before}openblas_get_config{after}")
        if config is not None:
            # "OpenBLAS 0.3.31 USE64BITINT DYNAMIC_ARCH …": the kernels are those of a processor.
            kernels = _text(library, f"{before}openblas_get_corename{after}")
            version = next(iter(re.findall(r"\d[\w.]*", config)), "")
            return " ".join(filter(None, ("OpenBLAS", version, kernels and f"({kernels})")))
    if (version := _mkl_version(library)) is not None:
        return f"MKL {version}"
    if (version := _text(library, "bli_info_get_version_str")) is not None:
        return f"BLIS {version}"
    return Path(file).name


def _text(library: ctypes.CDLL, name: str) -> str | None:
    """What a function without arguments returns; None where the library has no such function."""
    try:
        function: Callable[[], bytes | None] = getattr(library, name)
    except AttributeError:
        return None
    function.restype = ctypes.c_char_p  # type: ignore[attr-defined]
    value = function()
    return None if value is None else value.decode("utf-8", "replace").strip()


def _mkl_version(library: ctypes.CDLL) -> str | None:
    """``2026.2`` from "Intel(R) oneAPI Math Kernel Library Version 2026.2-Product Build …"."""
    try:
        function = library.MKL_Get_Version_String
    except AttributeError:
        return None
    text = ctypes.create_string_buffer(256)
    function(text, len(text) - 1)
    found = re.search(r"Version (\S+?)-?(?:Product|\s|$)", text.value.decode("utf-8", "replace"))
    return found[1] if found else ""
