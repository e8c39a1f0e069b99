"""Where the tuned BLAS libraries of this machine lie; nothing is loaded and no program started."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import re
import site
import sys
from collections.abc import Iterator
from pathlib import Path

# In order of preference. A library without its version number comes from a package for developers.
_NAMES = (
    *("libmkl_rt.so", "libmkl_rt.so.3", "libmkl_rt.so.2", "libmkl_rt.so.1"),
    *("libopenblas.so.0", "libopenblas.so", "libopenblasp.so.0", "libopenblaso.so.0"),
    *("libblis.so", "libblis.so.5", "libblis.so.4", "libblis.so.3", "libblis.so.2"),
)
_MKL = re.compile(r"libmkl_rt\.so(\.\d+)*")
_DISTRIBUTION = "mkl"
# What the dynamic linker knows, and where it looks without that.
_LINKER_CACHE = Path("/etc/ld.so.cache")
_LINKER_FOLDERS = ("/lib64", "/usr/lib64", "/lib", "/usr/lib")


def blas_files() -> list[str]:
    """Return the files of tuned BLAS libraries in order of preference, MKL for this Python first.

    MKL is looked for where its distribution is importable and beside this Python, and every library
    where the dynamic linker looks.
    """
    found = [*_of_distribution(), *_beside_python(), *_of_linker()]
    return list(dict.fromkeys(map(os.path.normpath, found)))


def _of_distribution() -> Iterator[str]:
    """MKL as a package index has it, in whichever environment on the import path it is."""
    # The metadata of a foreign distribution may be of any form.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError, OSError, ValueError):
        distribution = importlib.metadata.distribution(_DISTRIBUTION)
        files = [file for file in distribution.files or () if _MKL.fullmatch(file.name)]
        for file in sorted(files, reverse=True):
            path = str(distribution.locate_file(file))
            if Path(path).is_file():
                yield path


def _beside_python() -> Iterator[str]:
    """MKL of conda and others, which leave no list of their files."""
    for prefix in dict.fromkeys([sys.prefix, sys.base_prefix, _user_base()]):
        if prefix is not None:
            folder = Path(prefix, "lib")
            yield from map(str, sorted(folder.glob("libmkl_rt.so*"), reverse=True))


def _user_base() -> str | None:
    # Without a home folder it is a path that begins with `~`.
    base = site.getuserbase()
    return base if Path(base).is_absolute() else None


def _of_linker() -> Iterator[str]:
    named = [Path(name) for name in os.environ.get("LD_LIBRARY_PATH", "").split(":") if name]
    usual = [Path(name) for name in _LINKER_FOLDERS]
    try:
        known = _LINKER_CACHE.read_bytes()
    except OSError:
        known = b""
    for name in _NAMES:
        for folder in named:
            if (folder / name).is_file():
                yield str(folder / name)
        # Paths stand in it one after the other, each with a zero byte at its end.
        for path in re.findall(rb"/[^\0]*/" + re.escape(name.encode()) + rb"(?=\0)", known):
            if Path(os.fsdecode(path)).is_file():
                yield os.fsdecode(path)
        for folder in usual:
            if (folder / name).is_file():
                yield str(folder / name)
